"""Counterplay's routes, in our own environment."""

import torch
from _exchange import answer
from _recorded import Recorded, recorded
from torch import Tensor

from counterplay import baselines, FirstOrder, Implicit, trace, Unroll
from counterplay._adjoint import AbstractAdjoint


def harm_by(of: Recorded, adjoint: AbstractAdjoint) -> Tensor:
    setting = of.setting
    return trace(setting.game, setting.data, of.run, setting.target, adjoint=adjoint).harm


def unroll(of: Recorded) -> Tensor:
    return harm_by(of, Unroll(last=of.n_traced))


def truncated(of: Recorded) -> Tensor:
    return harm_by(of, Unroll(last=of.n_traced // 2))


def implicit(of: Recorded) -> Tensor:
    return harm_by(of, Implicit(depth=of.n_traced, damping=0.05))


def first_order(of: Recorded) -> Tensor:
    return harm_by(of, FirstOrder(last=of.n_traced))


def reader_loss(of: Recorded) -> Tensor:
    """The exact trace of what peers attribute: the reader's held-out loss."""
    setting = of.setting
    target = baselines.discriminator_loss(
        setting.game, setting.held_out, player=setting.reader
    )
    adjoint = Unroll(last=of.n_traced)
    return trace(setting.game, setting.data, of.run, target, adjoint=adjoint).harm


def gradient_norm(of: Recorded) -> Tensor:
    setting = of.setting
    return baselines.gradient_norm(
        setting.game, setting.data, of.run.final, player=setting.reader
    )


def data_features(of: Recorded) -> Tensor:
    with torch.no_grad():
        return of.setting.features(of.setting.data["x"])


def density(of: Recorded) -> Tensor:
    return baselines.density(data_features(of))


def isolation_forest(of: Recorded) -> Tensor:
    return baselines.isolation_forest(data_features(of))


def random(of: Recorded) -> Tensor:
    return baselines.random(len(of.setting.data))


if __name__ == "__main__":
    answer(
        {
            function.__name__: function
            for function in (
                unroll,
                truncated,
                implicit,
                first_order,
                reader_loss,
                gradient_norm,
                density,
                isolation_forest,
                random,
            )
        },
        load=recorded,
    )
