"""How well does influence rank all 200 points of a toy, against full leave-one-out?

200 points in two dimensions, 5 % of them planted outliers, tanh networks of width 16, batch
20, float64, 200 simultaneous moves; the metric is the log-likelihood of 300 held-out points
under a kernel density estimate of the samples. Truth: 200 retrainings from scratch.

Run: python benchmarks/toy_accuracy.py
"""

import torch

from counterplay import Recipe, trace, verify


def recipe(seed: int, **game) -> Recipe:
    return Recipe.from_tables(
        {
            "data": {"name": "two_d_normal", "n_train": 200, "n_valid": 300, "n_test": 300},
            "corrupt": {"kind": "noise", "fraction": 0.05, "seed": 0},
            "nets": {"name": "mlp", "width": 16},
            "game": {"name": "gan", "latent_dim": 4, "simultaneous": True, **game},
            "play": {"n_steps": 200, "batch_size": 20, "seed": seed},
            "metric": {
                "names": ["average_log_likelihood"],
                "n": 300,
                "options": {"average_log_likelihood": {"bandwidth": 0.5}},
            },
        }
    )


def main() -> None:
    torch.set_num_threads(1)
    adam = {"betas": (0.5, 0.9), "lr_g": 2e-3, "lr_d": 2e-3, "eps_root": 0.0}
    settings = {
        "sgd": {"optimizer": "sgd", "lr_g": 5e-2, "lr_d": 5e-2},
        "adam (.5, .9), eps 1e-8": adam,
        "adam (.5, .9), eps 1e-4": {**adam, "eps": 1e-4},
        "adam (.5, .9), eps_root 1e-4": {**adam, "eps_root": 1e-4},
        "the same, averaged generator": {**adam, "eps_root": 1e-4, "ema_halflife": 20.0},
    }
    print(f"{'optimizer':40} " + "  ".join(f"seed {seed}" for seed in range(3)) + "  (tau)")
    for name, game in settings.items():
        taus = []
        for seed in range(3):
            one = recipe(seed, **game)
            made, data = one.make_game(), one.splits.train
            run = one.record(made)
            metric = one.targets(made)[0]
            influence = trace(made, data, run, metric)
            found = verify(
                made, data, run, metric, influence,
                instances=torch.arange(200), lowered=(1.0,), chunk=200,
            )  # fmt: skip
            (tau,) = (row["value"] for row in found.rows() if row["measure"] == "kendall")
            taus.append(tau)
        print(f"{name:40} " + "  ".join(f"{tau:6.3f}" for tau in taus), flush=True)


if __name__ == "__main__":
    main()
