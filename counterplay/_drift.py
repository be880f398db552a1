"""How far a replayed state is from the recorded one."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from counterplay.game import State


@dataclass(frozen=True)
class Drift:
    """The differences between two states of the same move.

    Attributes:
        relative: The largest difference, as a share of the largest entry of its tensor.
        name: The tensor with that difference.
        n_differing: Tensors that differ.
        n_tensors: Tensors of a state.
    """

    relative: float
    name: str
    n_differing: int
    n_tensors: int

    def __str__(self) -> str:
        return (
            f"in {self.n_differing} of {self.n_tensors} tensors, most in {self.name!r}, by "
            f"{self.relative:.2g} of its largest entry"
        )


def drift_between(replayed: State, recorded: State) -> Drift:
    """Compare two states of the same game tensor by tensor."""
    expected = recorded.tensors()
    found = {
        name: _relative(tensor, expected[name])
        for name, tensor in replayed.tensors().items()
    }
    name = max(found, key=lambda name: found[name])
    differing = sum(share > 0 for share in found.values())
    return Drift(found[name], name, differing, len(found))


def summary(measured: Mapping[int, float]) -> str:
    """The largest drift of several, by move, in a sentence; empty if there is none."""
    if not measured:
        return ""
    move = max(measured, key=lambda move: measured[move])
    return (
        f"Replayed states differ from the recorded ones by at most {measured[move]:.2g} of "
        f"the largest entry of a tensor (at move {move}; {len(measured)} compared)."
    )


def _relative(tensor: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest entry; infinite for NaN on either side."""
    expected = expected.to(tensor.device)
    if not tensor.numel() or torch.equal(tensor, expected):
        return 0.0
    apart = (tensor.double() - expected.double()).abs().max()
    share = float(apart / expected.double().abs().max().clamp(min=1e-300))
    return share if share >= 0 else float("inf")
