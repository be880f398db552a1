"""Influence against real removals for the games that `counterplay compare` cannot play.

`cogan` needs two domains, `sagan` and `stylegan2` images of 16 x 16 and their own networks,
and the games of the outlier detectors a table and labels. Each is played, traced and
retrained without 40 instances, one at a time.

Run: python benchmarks/games_influence.py [--games cogan ...] [--seeds 3]
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer

import counterplay as cp
from counterplay import data, features, games, nets
from counterplay.estimators import MOGAAL, SOGAAL
from counterplay.game import Columns


N_INSTANCES = 40
Run = tuple[cp.Game, Columns, cp.Trajectory, cp.metrics.Target, int]  # and moves traced


def images(name: str, seed: int, *, width: int, n_steps: int, **options) -> Run:
    splits, factory = data.digits(size=16), games.load(name)
    sizes = {"latent_dim": 32, "n_classes": 10}
    network = nets.networks(
        name, nets.roles_of(factory), (1, 16, 16), sizes, width=width, seed=seed
    )
    game = factory(*network, latent_dim=32, eps_root=1e-6, **options)
    return measured(game, splits, n_steps, batch_size=64, seed=seed)


def measured(
    game: cp.Game, splits: data.Splits, n_steps: int, *, batch_size: int, seed: int
) -> Run:
    """A run, the Frechet distance to validation data, and an epoch to trace."""
    run = cp.play(game, splits.train, n_steps=n_steps, batch_size=batch_size, seed=seed)
    valid = splits.valid
    metric = cp.metrics.of_samples(
        "frechet", game, features.classifier(valid), reference=valid, n=1_024,
        averaged=bool(game.averages),
    )  # fmt: skip
    epoch = -(-len(splits.train) // batch_size) * len(game.schedule)
    return game, splits.train, run, metric, min(epoch, n_steps)


def cogan(seed: int) -> Run:
    splits, factory = data.digits(), games.load("cogan")
    parts = {
        name: _two_domains(getattr(splits, name)) for name in ("train", "valid", "test")
    }
    network = nets.networks(
        "mlp", nets.roles_of(factory), (1, 8, 8), {"latent_dim": 32}, width=64, seed=seed,
        activation="tanh",
    )  # fmt: skip
    game = factory(*network, latent_dim=32, eps_root=1e-6)
    return measured(
        game, data.Splits(**parts, name="two domains"), 2_000, batch_size=128, seed=seed
    )


def _two_domains(digits: Columns) -> Columns:
    """Digits, and negatives of other digits."""
    x, y = digits["x"], torch.arange(len(digits)) % 2
    x = torch.where(y.bool().view(-1, 1, 1, 1), -x, x)
    return replace(digits, tensors={"x": x, "y": y}, class_names=())


def detector(kind: type, seed: int) -> Run:
    X, y = load_breast_cancer(return_X_y=True)
    benign, malignant = X[y == 1], X[y == 0]
    order = np.random.default_rng(seed).permutation(len(malignant))
    train = np.concatenate([benign[:257], malignant[order[:10]]])
    valid = np.concatenate([benign[257:], malignant[order[10:60]]])
    found = kind(random_state=seed, dtype="float64").fit(train)
    target = found.detection_target(valid, np.repeat([0, 1], [100, 50]))
    return found.game_, found.data_, found.trajectory_, target, found.trajectory_.n_steps


GAMES: dict[str, Callable[[int], Run]] = {
    "cogan": cogan,
    "sagan": lambda seed: images("sagan", seed, width=8, n_steps=400, n_classes=10),
    "sagan with a smooth loss": lambda seed: images(
        "sagan", seed, width=8, n_steps=400, n_classes=10, loss="non_saturating"
    ),
    "stylegan2": lambda seed: images("stylegan2", seed, width=8, n_steps=400),
    "so_gaal": lambda seed: detector(SOGAAL, seed),
    "mo_gaal": lambda seed: detector(MOGAAL, seed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", choices=GAMES, default=list(GAMES))
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.games:
        for seed in range(chosen.seeds):
            game, train, run, metric, last = GAMES[name](seed)
            influences = [
                cp.trace(game, train, run, metric, adjoint=adjoint)
                for adjoint in (cp.Unroll(last), cp.Mollified(last))
            ]
            agreement = cp.verify(
                game, train, run, metric, influences, instances=N_INSTANCES,
                lowered=(1.0,), since=run.n_steps - last, executor="serial",
            )  # fmt: skip
            for row in agreement.rows():
                if row["measure"] == "kendall":
                    found = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                    print(f"{name}, seed {seed}, {row['adjoint']}: tau {found}", flush=True)


if __name__ == "__main__":
    main()
