"""Modes that a classifier tells apart, such as the 1,000 of Stacked-MNIST.

A mode is a combination of classes: Stacked-MNIST has a digit in each of three channels. A
row of logits holds those of all channels side by side, 30 for three digits, and counts for
mode 100 a + 10 b + c. With `n_stacked=1` the modes are the classes themselves.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import Facts
from counterplay.metrics._shares import discrepancy
from counterplay.metrics._stacked import counts, Logits, shares
from counterplay.typing import Scalar


def stacked_modes_covered(fake: Logits, *, n_stacked: int = 3, at_least: int = 1) -> Scalar:
    """Number of modes that a sample is classified as.

    Higher is better, from 0 to the number of modes. A count, so it has a value but no
    gradient. Grows with the number of samples: compare at equal ones, 25,600 or more for
    1,000 modes, and with what real data get, as the classifier errs. Cost O(m c).
    Source: Metz et al. 2017, arXiv 1611.02163.

    Args:
        fake: Logits of the samples, those of all channels in one row.
        n_stacked: Number of channels.
        at_least: How many samples make a mode covered.

    Raises:
        DataError: If `at_least` is below 1.
    """
    if at_least < 1:
        raise DataError(f"`at_least` must be at least 1, got {at_least}.")
    return (counts(fake, n_stacked) >= at_least).sum().to(torch.float64)


def stacked_reverse_kl(
    fake: Logits, *, n_stacked: int = 3, reference: Sequence[float] | Tensor = ()
) -> Scalar:
    """KL(fake || real) of the distributions over modes, every sample at its likeliest one.

    Lower is better, at least 0, in nats; log 2 if half of equally likely modes is lost. A
    count, so it has a value but no gradient. Biased upwards by about (k - 1) / (2 m) for k
    modes, .02 at 1,000 and 25,600 samples. Cost O(m c).
    Source: Metz et al. 2017, arXiv 1611.02163.

    Args:
        fake: Logits of the samples, those of all channels in one row.
        n_stacked: Number of channels.
        reference: The shares of the modes in the data; equal ones by default.

    Returns:
        The divergence.
    """
    classified = counts(fake, n_stacked).to(torch.float64) / len(fake)
    return discrepancy(classified, "kl", reference=reference)


def smooth_stacked_reverse_kl(
    fake: Logits, *, n_stacked: int = 3, reference: Sequence[float] | Tensor = ()
) -> Scalar:
    """The same with a gradient: a sample counts for each mode as much as it is probable.

    The probability of a mode is the product of its classes'. Lower is better, at least 0,
    in nats. Cost O(m k) for k modes.
    Source: Metz et al. 2017, arXiv 1611.02163, smoothed.

    Args:
        fake: Logits of the samples; the result is differentiable in it.
        n_stacked: Number of channels.
        reference: The shares of the modes in the data; equal ones by default.

    Returns:
        The divergence.
    """
    return discrepancy(shares(fake, n_stacked), "kl", reference=reference)


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=function is stacked_modes_covered,
        bounds=(0.0, math.inf),
        needs="logits",
        differentiable=function is smooth_stacked_reverse_kl,
        reads_reference=False,
    )
    for name, function in (
        ("stacked_modes_covered", stacked_modes_covered),
        ("stacked_reverse_kl", stacked_reverse_kl),
        ("smooth_stacked_reverse_kl", smooth_stacked_reverse_kl),
    )
}
