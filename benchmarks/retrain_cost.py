"""What does a counterfactual run cost when many are played at once?

CPU seconds per run of the vmapped executor over those of runs one after the other, on the
paper's 2-D networks (float64, batch 100). One thread, both in every round.

Run: python benchmarks/retrain_cost.py
"""

import statistics
import time

import torch

from counterplay import Recipe
from counterplay._retrain import counterfactual_effects, leave_out


RECIPE = Recipe.from_tables(
    {
        "data": {"name": "two_d_normal", "n_train": 10_000},
        "nets": {
            "name": "mlp",
            "width": 32,
            "width_d": 64,
            "activation": "relu",
            "bias": False,
        },
        "game": {"name": "gan", "latent_dim": 10, "simultaneous": True, "optimizer": "sgd"},
        "play": {"n_steps": 50, "batch_size": 100},
        "metric": {"names": ["average_log_likelihood"], "n": 100},
    }
)


def main() -> None:
    torch.set_num_threads(1)
    game, data = RECIPE.make_game(), RECIPE.splits.train
    run, targets = RECIPE.record(game), RECIPE.targets(game)
    print("runs at once  CPU per run / one after the other")
    for n_runs in (8, 32, 64, 200):
        rows = leave_out(run.plan.weights, [[i] for i in range(n_runs)])
        found = []
        for _ in range(4):
            cost = {}
            for executor, some in (("vmap", rows), ("serial", rows[:8])):
                start = time.process_time()
                counterfactual_effects(
                    game, data, run, targets, some, executor=executor, chunk=n_runs
                )
                cost[executor] = (time.process_time() - start) / len(some)
            found.append(cost["vmap"] / cost["serial"])
        print(f"{n_runs:12}  {statistics.median(found[1:]):.2f}", flush=True)


if __name__ == "__main__":
    main()
