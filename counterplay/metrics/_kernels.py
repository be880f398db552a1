"""Kernels, their sums over all pairs of rows in bounded memory, and squared MMD."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay import _rng
from counterplay.errors import DataError, MetricError
from counterplay.metrics._facts import checked
from counterplay.typing import Features, Scalar


Kernel = Callable[[Tensor, Tensor], Tensor]  # (..., n, d), (..., m, d) -> (..., n, m)
CHUNK = 256  # rows on either side at a time: one block of pairs stays in the cache
FOR_MEDIAN = 1_000  # rows whose distances are looked at


class Estimate(NamedTuple):
    """What subsets of the rows say."""

    mean: float
    standard_error: float  # of the mean over draws of subsets from these very rows
    deviation: float  # between subsets, with n - 1; papers print it after the mean


@dataclass(frozen=True)
class Polynomial:
    """The kernel (gamma x.y + coef)^degree; `gamma` is 1/d by default."""

    degree: int = 3
    gamma: float | None = None
    coef: float = 1.0

    def __post_init__(self) -> None:
        if self.degree < 1:
            raise DataError(f"`degree` must be at least 1, got {self.degree!r}.")

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        gamma = 1 / x.shape[-1] if self.gamma is None else self.gamma
        return (gamma * (x @ y.mT) + self.coef) ** self.degree


@dataclass(frozen=True)
class Gaussian:
    """The kernel exp(-|x - y|^2 / (2 bandwidth^2))."""

    bandwidth: float

    def __post_init__(self) -> None:
        if not 0 < self.bandwidth < math.inf:
            raise DataError(
                f"`bandwidth` must be above 0, and finite, got {self.bandwidth!r}."
            )

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        centre = y.detach().mean(-2, keepdim=True)  # far from 0, squares would lose digits
        x, y = (x - centre) / self.bandwidth, (y - centre) / self.bandwidth
        squares = x.square().sum(-1)[..., None] + y.square().sum(-1)[..., None, :]
        return torch.exp(x @ y.mT - squares / 2)


@dataclass(frozen=True, eq=False)
class Reference:
    """Real rows, a constant, with what is worth computing once about them."""

    rows: Float[Tensor, "n d"]
    sums: dict[Kernel, Tensor] = field(default_factory=dict)  # filled as they are asked for

    @classmethod
    def of(cls, real: "Reference | Tensor") -> "Reference":
        """The rows, checked; what is a reference already stays as it is."""
        if isinstance(real, Reference):
            return real
        return cls(checked("real", real.detach(), minimum=2))

    @cached_property
    def median_distance(self) -> float:
        """The median distance of two rows, from up to 1,000 of them.

        Raises:
            DataError: If it is 0.
        """
        order = _rng.permutation(len(self.rows), 0, "median distance")[:FOR_MEDIAN]
        median = float(torch.pdist(self.rows[order]).median())
        if median == 0:
            raise DataError(
                f"At least half of all pairs among the {len(self.rows)} rows of `real` are "
                "equal, so their median distance, the default `bandwidth`, is 0. Give "
                "`bandwidth`, or look at the feature map."
            )
        return median

    def sum_within(self, kernel: Kernel) -> Tensor:
        """Sum of a kernel over all pairs of rows, a row with itself too."""
        if kernel not in self.sums:
            self.sums[kernel] = pair_sum(kernel, self.rows, self.rows)
        return self.sums[kernel]


def squared_mmd(
    real: Reference | Features,
    fake: Float[Tensor, "m d"],
    *,
    kernel: Kernel,
    unbiased: bool = True,
) -> Scalar:
    """Squared maximum mean discrepancy: the means of k(r, r') + k(f, f') - 2 k(r, f).

    Lower is better. Unbiased it leaves out pairs of a row with itself, and falls slightly
    below 0 between equal distributions; biased it is at least 0, and too large by about
    1/n + 1/m. Cost O((n + m)^2 d), memory O((n + m) d).
    Source: Gretton et al. 2012, JMLR 13, equations 3 and 5.

    Args:
        real: Features of real data, a constant.
        fake: Features of generated data; the result is differentiable in it.
        kernel: Symmetric, from rows `(n, d)` and `(m, d)` to `(n, m)`, over leading axes.
        unbiased: Which estimate.
    """
    reference = Reference.of(real)
    rows, n, m = reference.rows, len(reference.rows), len(fake)
    fake = checked("fake", fake, minimum=2, width=rows.shape[1])
    real_sum, fake_sum = reference.sum_within(kernel), pair_sum(kernel, fake, fake)
    across = pair_sum(kernel, fake, rows) / (n * m)
    if not unbiased:
        return real_sum / n**2 + fake_sum / m**2 - 2 * across
    real_sum = real_sum - diagonal(kernel, rows).sum()
    fake_sum = fake_sum - diagonal(kernel, fake).sum()
    return real_sum / (n * (n - 1)) + fake_sum / (m * (m - 1)) - 2 * across


def kernel_distance_subsets(
    real: Reference | Features,
    fake: Float[Tensor, "m d"],
    *,
    n_subsets: int = 100,
    size: int = 1_000,
    kernel: Kernel | None = None,
    seed: int = 0,
) -> Estimate:
    """Kernel distance over random subsets, as published: its mean and how it scatters.

    Each subset is drawn without replacement, by a generator of its own. Subsets overlap, so
    the standard error says nothing about other rows than these. Lower is better. The
    kernel of a pair that is in several subsets is computed once if that saves time.
    Source: Binkowski et al. 2018, arXiv 1801.01401, section 4; 100 subsets of 1,000.

    Args:
        real: Features of real data.
        fake: Features of generated data.
        n_subsets: Number of subsets.
        size: Rows of either side in a subset.
        kernel: By default the cubic polynomial of `kernel_distance`.
        seed: Seed of the draws.

    Raises:
        DataError: If there are fewer rows than `size`, or too few subsets.
    """
    rows, kernel = Reference.of(real).rows, kernel or Polynomial()
    fake = checked("fake", fake.detach(), minimum=2, width=rows.shape[1])
    (n, d), m = rows.shape, len(fake)
    if n_subsets < 2 or not 2 <= size <= min(n, m):
        raise DataError(
            f"`n_subsets` is {n_subsets} and `size` {size}, but {n} real and {m} fake rows "
            f"make at least 2 subsets of 2 to {min(n, m)} rows without replacement. Give "
            "more rows or a smaller `size`, and name it beside the value."
        )
    draws = [
        torch.stack([_rng.permutation(k, seed, what, i)[:size] for i in range(n_subsets)])
        for k, what in ((n, "real"), (m, "fake"))
    ]
    if (n * n + m * m + n * m) * (d + n_subsets) < 3 * n_subsets * size**2 * d:
        values = _shared(kernel, rows, fake, *draws)
    else:
        pairs = zip(*draws, strict=True)
        values = torch.stack(
            [squared_mmd(rows[i], fake[j], kernel=kernel) for i, j in pairs]
        )
    deviation = float(values.std())
    return Estimate(float(values.mean()), deviation / math.sqrt(n_subsets), deviation)


def _shared(
    kernel: Kernel, real: Tensor, fake: Tensor, real_draws: Tensor, fake_draws: Tensor
) -> Tensor:
    """Unbiased squared MMD of every subset, each kernel value computed once."""
    size = real_draws.shape[1]
    in_real = real.new_zeros(len(real), len(real_draws)).scatter_(0, real_draws.mT, 1)
    in_fake = fake.new_zeros(len(fake), len(fake_draws)).scatter_(0, fake_draws.mT, 1)
    within = sum(
        pair_sums(kernel, x, x, inside, inside) - diagonal(kernel, x) @ inside
        for x, inside in ((real, in_real), (fake, in_fake))
    )
    across = pair_sums(kernel, real, fake, in_real, in_fake)
    return within / (size * (size - 1)) - 2 * across / size**2


def pair_sum(kernel: Kernel, x: Features, y: Float[Tensor, "m d"]) -> Scalar:
    """Sum of a symmetric kernel over all pairs; once differentiable, in `x`.

    Neither the pairs nor their graph are ever held. If `y` is `x`, both move.
    """
    return _PairSum.apply(x, None if y is x else y.detach(), kernel)


def diagonal(kernel: Kernel, x: Features) -> Float[Tensor, " n"]:
    """The kernel of each row with itself."""
    return kernel(x[:, None], x[:, None]).flatten()


def pair_sums(kernel: Kernel, x: Tensor, y: Tensor, in_x: Tensor, in_y: Tensor) -> Tensor:
    """Sum of a kernel over the pairs of each of several subsets, without a graph.

    The kernel of a pair is computed once for all subsets.

    Args:
        kernel: The kernel, symmetric.
        x: First rows, `(n, d)`.
        y: Second rows, `(m, d)`.
        in_x: How often a row is in a subset, `(n, s)`.
        in_y: The same for the second rows, `(m, s)`.
    """
    total = x.new_zeros(in_x.shape[1])
    for rows, others, times in _tiles(x, y):
        total += times * ((kernel(x[rows], y[others]) @ in_y[others]) * in_x[rows]).sum(0)
    return total


class _PairSum(torch.autograd.Function):
    """Takes the gradient on the way forward, as the cotangent will be only a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor | None, kernel: Kernel) -> Tensor:
        # As the first or as the second of a pair, a row moves a symmetric kernel alike.
        sides, y = (2, x) if y is None else (1, y)
        total, gradient = x.new_zeros(()), torch.zeros_like(x)
        for rows, others, times in _tiles(x, y):
            a, b = x[rows].detach(), y[others].detach()
            moving = [(a, rows), (b, others)][:times] if ctx.needs_input_grad[0] else []
            leaves = [leaf.requires_grad_() for leaf, _ in moving]
            with torch.enable_grad():
                block = kernel(a, b).sum()
            total += times * block.detach()
            parts = torch.autograd.grad(block, leaves) if leaves else ()
            for (_, place), part in zip(moving, parts, strict=True):
                gradient[place] += sides * part
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # `create_graph=True`; it would be wrong in silence
            raise MetricError(
                "Sums of kernels keep no graph of their gradient, so kernel distances have "
                "no second derivative. Differentiate them once, without `create_graph`."
            )
        return cotangents[0] * ctx.saved_tensors[0], None, None


def _tiles(x: Tensor, y: Tensor) -> Iterator[tuple[slice, slice, int]]:
    """Blocks of pairs and how often each counts: of a set with itself, half of them."""
    return (
        (slice(i, i + CHUNK), slice(j, j + CHUNK), 2 if y is x and j > i else 1)
        for i in range(0, len(x), CHUNK)
        for j in range(i if y is x else 0, len(y), CHUNK)
    )
