"""Shares of classes, and how far they are from the wanted ones."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linprog
from torch import Tensor
from torch.nn.functional import one_hot

from counterplay.errors import DataError, MetricError
from counterplay.metrics._facts import checked


_UNIFORM_ONLY = ("information_specificity", "specificity", "wds")


def rows_of(
    logits: Float[Tensor, "m c"], groups: Sequence[int] = (), *, soft: bool = True
) -> Float[Tensor, "m k"]:
    """What a classifier says of each sample, one column per class; each row sums to 1.

    Args:
        logits: One row per sample.
        groups: The class that each column counts for, such as `[0, 0, 1]`; by default every
            column is a class of its own.
        soft: Give probabilities, which have a derivative; otherwise 1 at the likeliest
            class.

    Returns:
        The rows, whose mean is the shares of the classes.

    Raises:
        DataError: If there is one class, or `groups` does not fit the columns.
    """
    said = torch.softmax(checked("logits", logits), dim=1)
    if len(groups):
        said = said @ _membership(groups, said.shape[1])
    if said.shape[1] < 2:
        raise DataError(
            f"`logits` and `groups` make {said.shape[1]} class, but shares are compared "
            "between at least 2."
        )
    return said if soft else one_hot(said.argmax(1), said.shape[1]).to(said.dtype)


def _membership(groups: Sequence[int], width: int) -> Float[Tensor, "c k"]:
    present = sorted(set(groups))
    if len(groups) != width or present != list(range(len(present))):
        raise DataError(
            f"`groups` is {list(groups)!r}, but it must give each of the {width} columns "
            "of `logits` a number from 0 on, leaving none out."
        )
    return one_hot(torch.tensor(list(groups))).to(torch.float64)


def reference_of(k: int, reference: Sequence[float] | Tensor) -> Float[Tensor, " k"]:
    """The wanted shares in float64, equal ones by default.

    Raises:
        DataError: If they are not `k` positive numbers that sum to 1.
    """
    if not len(reference):
        return torch.full((k,), 1 / k, dtype=torch.float64)
    wanted = torch.as_tensor(reference, dtype=torch.float64).detach()
    # The tolerance is that of a float32 sum, or of thirds written with four digits.
    if wanted.shape != (k,) or not (wanted > 0).all() or abs(wanted.sum() - 1) > 1e-3:
        raise DataError(
            f"`reference` is {wanted.tolist()}, but the wanted shares of {k} classes are "
            f"{k} positive numbers that sum to 1."
        )
    return wanted / wanted.sum()


def discrepancy(
    p: Float[Tensor, "*rows k"],
    measure: str = "l2",
    *,
    reference: Sequence[float] | Tensor = (),
    normalised: bool = False,
    l1_over_k: bool = False,
) -> Float[Tensor, "*rows"]:
    """How far shares of classes are from the wanted ones.

    - `"l2"`, `"l1"`: norm of the difference. `"total_variation"`: half of the latter.
    - `"kl"`: divergence of `p` from the reference, in nats.
    - `"specificity"`: the largest share minus the mean of the others, weighted k-1, k-2,
      ..., 1 from the runner-up on. Its order of shares changes with p, so it is not smooth:
      never a target of training.
    - `"information_specificity"`: mean of L1 and specificity.
    - `"wds"`: mean of L1 / k and specificity. The published name says Wasserstein, but
      that part equals L1 / k; see `transport_distance` for a distance between classes.

    Lower is better. At two classes all normalised ones but KL are equal. None tells which
    class is missing: always look at the shares too.
    Source: Teo and Cheung 2021, arXiv 2107.07754; Choi et al. 2020, arXiv 1910.12008.
    Differs: norms are not divided by k, as in one of the two published scripts.

    Args:
        p: Shares, the last axis summing to 1; the result is differentiable in it.
        measure: One of the above.
        reference: The wanted shares; equal ones by default.
        normalised: Divide by the value at the worst single class, so that 1 is the largest.
        l1_over_k: Divide L1 and L2 by k, also inside information specificity, as in the
            other script; only to compare with old numbers.

    Returns:
        The discrepancies, one per row.

    Raises:
        MetricError: If there is no such measure, or it has no meaning for this reference.
    """
    if measure not in MEASURES:
        raise MetricError(f"There is no `measure` {measure!r}; there are {list(MEASURES)}.")
    k = p.shape[-1]
    wanted, divisor = reference_of(k, reference), k if l1_over_k else 1
    if measure not in measures_for(wanted):
        raise MetricError(
            f"The measure {measure!r} compares sorted shares with equal ones, but "
            f"`reference` is {wanted.tolist()}. Use 'l1', 'l2', 'kl' or 'total_variation'."
        )
    value = MEASURES[measure](p.to(torch.float64), wanted, divisor)
    if not normalised:
        return value
    return value / MEASURES[measure](torch.eye(k).double(), wanted, divisor).max()


def _l1(p: Tensor, wanted: Tensor, divisor: int) -> Tensor:
    return (p - wanted).abs().sum(-1) / divisor


def _l2(p: Tensor, wanted: Tensor, divisor: int) -> Tensor:
    return torch.linalg.vector_norm(p - wanted, dim=-1) / divisor  # slope 0 at 0


def _total_variation(p: Tensor, wanted: Tensor, divisor: int) -> Tensor:
    del divisor
    return _l1(p, wanted, 1) / 2


def _kl(p: Tensor, wanted: Tensor, divisor: int) -> Tensor:
    del divisor
    log_p = p.clamp_min(torch.finfo(p.dtype).tiny).log()  # 0 log 0 is 0, with a slope
    return (p * (log_p - wanted.log())).sum(-1)


def _specificity(p: Tensor, wanted: Tensor, divisor: int) -> Tensor:
    del wanted, divisor
    k = p.shape[-1]
    ordered = p.sort(dim=-1, descending=True).values
    weights = torch.arange(k - 1, 0, -1, dtype=p.dtype)
    return (ordered[..., 0] - ordered[..., 1:] @ (weights / weights.sum())).abs()


def _information_specificity(p: Tensor, wanted: Tensor, divisor: int) -> Tensor:
    return (_l1(p, wanted, divisor) + _specificity(p, wanted, 1)) / 2


def _wds(p: Tensor, wanted: Tensor, divisor: int) -> Tensor:
    del divisor
    return _information_specificity(p, wanted, p.shape[-1])


MEASURES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "l2": _l2,
    "l1": _l1,
    "kl": _kl,
    "total_variation": _total_variation,
    "specificity": _specificity,
    "information_specificity": _information_specificity,
    "wds": _wds,
}


def measures_for(reference: Float[Tensor, " k"]) -> tuple[str, ...]:
    """The measures that have a meaning for wanted shares."""
    equal = torch.allclose(reference, reference.mean())
    return tuple(name for name in MEASURES if equal or name not in _UNIFORM_ONLY)


def transport_distance(
    p: Float[Tensor, " k"],
    distance: Float[Tensor, "a b"],
    *,
    reference: Sequence[float] | Tensor = (),
) -> float:
    """Wasserstein-1 distance of shares from the wanted ones, in the unit of `distance`.

    The least mass times distance that turns one into the other. Lower is better. Cost one
    linear program of k^2 variables.

    Args:
        p: Shares that sum to 1.
        distance: How far each class is from each other one, such as years between groups of
            age; 0 on the diagonal.
        reference: The wanted shares; equal ones by default.

    Returns:
        The distance.

    Raises:
        DataError: If `distance` has another shape or a negative entry.
    """
    k = len(p)
    if distance.shape != (k, k) or bool((distance < 0).any()):
        raise DataError(
            f"`distance` has shape {tuple(distance.shape)} and least entry "
            f"{float(distance.min()):g}, but it must hold one distance, at least 0, for "
            f"each pair of the {k} classes."
        )
    leaving = np.kron(np.eye(k), np.ones(k))
    arriving = np.kron(np.ones(k), np.eye(k))
    shares = p.detach().double()
    totals = torch.cat([shares / shares.sum(), reference_of(k, reference)]).numpy()
    plan = linprog(
        distance.double().reshape(-1).numpy(),
        A_eq=np.concatenate([leaving, arriving])[:-1],  # the last one follows from the rest
        b_eq=totals[:-1],
    )
    return float(plan.fun)
