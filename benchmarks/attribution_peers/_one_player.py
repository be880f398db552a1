"""A classifier as a game of one player, and our side of `magic.py`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _exchange import Tracing, write_tracing
from torch import nn, Tensor
from torch.nn.functional import cross_entropy

from counterplay import apply_of, Columns, Game, optim, play, trace, Trajectory
from counterplay.losses import wmean
from counterplay.metrics.target import of_state, Target


PerRow = Callable[[Tensor, Tensor], Tensor]  # outputs and labels to one loss each
OPTIMIZERS = {"sgd": optim.sgd, "adam": optim.adam, "adamw": optim.adamw}
SEED = 0


def classifier(module: nn.Module, losses: PerRow, optimizer: optim.Optimizer) -> Game:
    """One player, "C", that fits column `y` from column `x`."""
    C = apply_of("C", module)

    def loss(params, batch, noise, weights):
        del noise
        return wmean(losses(C(params, batch["x"]), batch["y"]), weights)

    return Game(
        modules={"C": module},
        losses={"C": loss},
        optimizers={"C": optimizer},
        schedule=(("C",),),
        draw=lambda size, generator, params: {},
        readers=("C",),
    )


def held_out_loss(module: nn.Module, losses: PerRow, x: Tensor, y: Tensor) -> Target:
    """The mean loss of "C" on other rows."""
    C = apply_of("C", module)
    return of_state(
        lambda params: losses(C(params, x), y).mean(),
        name="held_out_loss",
        higher_is_better=False,
    )


def columns(x: Tensor, y: Tensor) -> Columns:
    return Columns({"x": x, "y": y}, tuple(map(str, range(len(x)))))


def per_row(logits: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(logits, y, reduction="none")


class Counterplay(Tracing):
    """Play the game of one player, then trace it."""

    run: Trajectory

    def __init__(self, given: dict[str, Any], n_steps: int):
        rule = OPTIMIZERS[given["optimizer"]](**given["options"])
        self.game = classifier(given["module"], per_row, rule)
        self.data = columns(given["x"], given["y"])
        self.target = held_out_loss(
            given["module"], per_row, given["test_x"], given["test_y"]
        )
        self.n_steps, self.batch_size = n_steps, given["order"].shape[1]

    def train(self) -> Tensor:
        self.run = play(
            self.game,
            self.data,
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            seed=SEED,
        )
        params = self.run.final.params["C"].values()
        return torch.cat([param.flatten() for param in params])

    def trace(self) -> Tensor:
        return trace(self.game, self.data, self.run, self.target).gradient


if __name__ == "__main__":
    write_tracing(Path(sys.argv[1]), Path(sys.argv[2]), Counterplay)
