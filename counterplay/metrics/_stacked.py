"""Combinations of classes: several classifications in one row of logits."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked


Logits = Float[Tensor, "m c"]
MOST_MODES = 10_000_000


def counts(fake: Logits, n_stacked: int) -> Int[Tensor, " k"]:
    """How many samples fall into each combination, where the last class varies fastest.

    Raises:
        DataError: If there are too many of them to count.
    """
    channels = _channels(fake.detach(), n_stacked)
    n_classes = channels.shape[2]
    if n_classes**n_stacked > MOST_MODES:
        raise DataError(
            f"{n_classes} classes in each of {n_stacked} channels make "
            f"{n_classes**n_stacked:.3g} modes, more than the {MOST_MODES:,} that can be "
            "counted. Set `n_stacked` to the number of channels."
        )
    mode = torch.zeros(len(channels), dtype=torch.int64)
    for label in channels.argmax(2).unbind(1):
        mode = mode * n_classes + label
    return mode.bincount(minlength=n_classes**n_stacked)


def shares(fake: Logits, n_stacked: int) -> Float[Tensor, " k"]:
    """The mean probability of each combination, in the same order; differentiable."""
    *first, last = torch.softmax(_channels(fake, n_stacked), dim=2).unbind(1)
    joint = last.new_ones(len(last), 1)
    for p in first:
        joint = (joint[:, :, None] * p[:, None]).flatten(1)
    return (joint.mT @ last).flatten() / len(last)


def _channels(fake: Logits, n_stacked: int) -> Float[Tensor, "m stacked classes"]:
    rows = checked("fake", fake)
    if n_stacked < 1 or rows.shape[1] % n_stacked:
        raise DataError(
            f"`fake` has {rows.shape[1]} columns, which are not the logits of {n_stacked} "
            "classifications with equally many classes. Set `n_stacked`: 3 for the digits "
            "of Stacked-MNIST, 1 for plain classes."
        )
    return rows.unflatten(1, (n_stacked, -1))
