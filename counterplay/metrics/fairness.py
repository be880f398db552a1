"""Fairness discrepancy: how far the classes of samples are from the wanted shares.

The shares are a classifier's, with its errors in them; `counterplay.fairness` corrects
for those. The smooth metrics can be traced; `hard_fairness` counts decisions.
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from counterplay.metrics._facts import Facts
from counterplay.metrics._shares import discrepancy as discrepancy, rows_of
from counterplay.typing import Scalar


Logits = Float[Tensor, "m c"]
Shares = Sequence[float]
Groups = Sequence[int]


def fairness_l2(
    logits: Logits, *, reference: Shares = (), groups: Groups = (), normalised: bool = False
) -> Scalar:
    """Fairness discrepancy: Euclidean distance of class shares from the wanted ones.

    |mean_i softmax(logits_i) - reference|. Lower is better, between 0 and sqrt 2,
    dimensionless. Biased upwards by the noise of a share, about sqrt(1 / m), and by the
    classifier's errors, which mostly mix classes and so hide unfairness. Cost O(m c).
    Source: Choi et al. 2020, arXiv 1910.12008; Teo and Cheung 2021, arXiv 2107.07754.

    Args:
        logits: A classifier's logits of generated samples; the result is differentiable in
            it.
        reference: The wanted shares, positive and of sum 1; equal ones by default.
        groups: The class that each column counts for, such as `[0, 0, 1]`; by default each
            is a class of its own.
        normalised: Divide by the value at the worst single class, so that 1 is the largest.

    Returns:
        The discrepancy.
    """
    p = rows_of(logits, groups).mean(0)
    return discrepancy(p, "l2", reference=reference, normalised=normalised)


def fairness_l1(
    logits: Logits, *, reference: Shares = (), groups: Groups = (), normalised: bool = False
) -> Scalar:
    """As `fairness_l2`, the sum of absolute differences. Lower is better, 0 to 2."""
    p = rows_of(logits, groups).mean(0)
    return discrepancy(p, "l1", reference=reference, normalised=normalised)


def fairness_kl(
    logits: Logits, *, reference: Shares = (), groups: Groups = (), normalised: bool = False
) -> Scalar:
    """As `fairness_l2`, KL(shares || reference) in nats. Lower is better, 0 or more."""
    p = rows_of(logits, groups).mean(0)
    return discrepancy(p, "kl", reference=reference, normalised=normalised)


def total_variation(
    logits: Logits, *, reference: Shares = (), groups: Groups = (), normalised: bool = False
) -> Scalar:
    """Share of samples that must change class, half of L1. Lower is better, 0 to 1."""
    p = rows_of(logits, groups).mean(0)
    return discrepancy(p, "total_variation", reference=reference, normalised=normalised)


def hard_fairness(
    logits: Logits,
    *,
    measure: str = "l2",
    reference: Shares = (),
    groups: Groups = (),
    normalised: bool = False,
) -> Scalar:
    """Fairness discrepancy of counted decisions by any `measure` of `discrepancy`.

    Lower is better, 0 or more. Decisions have no derivative; specificity, which sorts, is
    only here.
    """
    p = rows_of(logits.detach(), groups, soft=False).mean(0)
    return discrepancy(p, measure, reference=reference, normalised=normalised)


_LARGEST = {fairness_l1: 2.0, fairness_l2: math.sqrt(2), total_variation: 1.0}
FACTS = {
    function.__name__: Facts(
        function,
        higher_is_better=False,
        bounds=(0.0, _LARGEST.get(function, math.inf)),
        needs="logits",
        differentiable=function is not hard_fairness,
        reads_reference=False,
    )
    for function in (*_LARGEST, fairness_kl, hard_fairness)
}
