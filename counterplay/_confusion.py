"""What a classifier says of samples, and what it would say without its errors.

One that names class i as j with probability C_ij shows samples of class shares p as C^T p.
With C measured on labelled instances that it has not learnt from, that is solved for p.

Source: Teo, Abdollahzadeh and Cheung 2023, CLEAM, arXiv 2310.19297, for two classes.
Differs: any number of classes; probabilities as well as decisions; the interval contains
the noise of C.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterplay import _rng
from counterplay.errors import DataError, MetricError


Said = Float[Tensor, "m k"]  # what a classifier says of each sample; rows sum to 1
LARGEST_CONDITION = 50.0
N_DRAWS = 2_000


@dataclass(frozen=True)
class Shares:
    """Estimated shares of classes.

    Attributes:
        values: One per class, with sum 1.
        covariance: Of their estimate.
    """

    values: Float[Tensor, " k"]
    covariance: Float[Tensor, "k k"]

    @property
    def half_width(self) -> Float[Tensor, " k"]:
        """Half the width of the 95 % interval of each share."""
        return 1.96 * self.covariance.diagonal().clamp_min(0).sqrt()

    @property
    def low(self) -> Float[Tensor, " k"]:
        """Where the 95 % interval of each share begins."""
        return (self.values - self.half_width).clamp(0, 1)

    @property
    def high(self) -> Float[Tensor, " k"]:
        """Where the 95 % interval of each share ends."""
        return (self.values + self.half_width).clamp(0, 1)

    def draws(self, around: Float[Tensor, " k"]) -> Float[Tensor, "draws k"]:
        """Shares as other samples would give them if the true ones were `around`."""
        variance, axes = torch.linalg.eigh(self.covariance)
        random = _rng.generator(0, "fairness", "draws")
        noise = torch.randn(N_DRAWS, len(around), generator=random, dtype=torch.float64)
        return _project(around + (noise * variance.clamp_min(0).sqrt()) @ axes.T)


@dataclass(frozen=True)
class Confusion:
    """What a classifier says of instances whose class is known.

    Attributes:
        rates: Row i is what it says of class i, on average; on the diagonal, how often it
            is right.
        covariances: Of each row of `rates`, zeros if they are known exactly.
        n_instances: Labelled instances of each class, 0 if none were needed.
    """

    rates: Float[Tensor, "k k"]
    covariances: Float[Tensor, "k k k"]
    n_instances: Int[Tensor, " k"]

    @classmethod
    def known(cls, rates: Float[Tensor, "a b"]) -> "Confusion":
        """From rates that are known exactly.

        Raises:
            DataError: If a row is no distribution.
        """
        rates, k = rates.to(torch.float64), len(rates)
        sums = rates.sum(1)
        if rates.shape != (k, k) or (rates < 0).any() or ((sums - 1).abs() > 1e-6).any():
            raise DataError(
                f"`rates` has shape {tuple(rates.shape)} and row sums {sums.tolist()}, but "
                "row i must hold the probability of each answer to class i."
            )
        return cls(rates, rates.new_zeros(k, k, k), torch.zeros(k, dtype=torch.int64))

    @property
    def accuracy(self) -> float:
        """The mean over classes of how often it is right."""
        return float(self.rates.diagonal().mean())

    @property
    def condition(self) -> float:
        """By how much the correction may enlarge a relative error."""
        return float(torch.linalg.cond(self.rates))


def measure_confusion(said: Said, y: Int[Tensor, " m"]) -> Confusion:
    """What a classifier says of each class, from labelled instances.

    Args:
        said: What it says of each, from `rows_of`: never of what it has learnt from.
        y: The true class of each, from 0 on.

    Returns:
        The mean of each class, with its covariance.

    Raises:
        DataError: If a class has no instance.
    """
    k = said.shape[1]
    counts = y.bincount(minlength=k)
    if len(y) != len(said) or len(counts) > k or not counts.all():
        raise DataError(
            f"There are {counts.tolist()} labelled instances per class and {len(said)} "
            f"rows of what a classifier with {k} classes says of them. Every class needs "
            "instances, labelled 0, 1, ... in the order of the logits."
        )
    classes = [measured(said[y == i]) for i in range(k)]
    return Confusion(
        torch.stack([one.values for one in classes]),
        torch.stack([one.covariance for one in classes]),
        counts,
    )


def measured(said: Said) -> Shares:
    """The mean of what a classifier says, with its covariance.

    For decisions, that is the multinomial p(1 - p) / m. Rows may also be shares of whole
    batches, whose scatter is then taken.
    """
    said = said.to(torch.float64)
    away = said - said.mean(0)
    return Shares(said.mean(0), away.T @ away / len(said) ** 2)


def corrected(shares: Shares, confusion: Confusion) -> Shares:
    """The shares that the classifier, with its errors, would have shown as these.

    p solves C^T p = shares; then negative parts are cut off and the rest is scaled to sum
    1. With two classes, p_0 = (shares_0 - (1 - C_11)) / (C_00 + C_11 - 1). To the noise of
    the shares comes that of C, by the first derivative of the solution. Samples count as if
    the classifier erred on them as on real instances of their class.
    Source: Teo et al. 2023, CLEAM, arXiv 2310.19297.

    Args:
        shares: What was measured.
        confusion: Of the same classifier, of decisions for decisions and of probabilities
            for probabilities.

    Returns:
        The shares with the covariance of the solution.

    Raises:
        MetricError: If the classifier tells the classes apart too badly.
    """
    if not confusion.condition <= LARGEST_CONDITION:
        raise MetricError(_too_weak(confusion))
    back = torch.linalg.inv(confusion.rates.T)
    values = _project(back @ shares.values)
    of_rates = (values.square()[:, None, None] * confusion.covariances).sum(0)
    return Shares(values, back @ (shares.covariance + of_rates) @ back.T)


def _project(values: Float[Tensor, "*rows k"]) -> Float[Tensor, "*rows k"]:
    values = values.clamp_min(0)
    return values / values.sum(-1, keepdim=True)


def _too_weak(confusion: Confusion) -> str:
    right = [round(rate, 4) for rate in confusion.rates.diagonal().tolist()]
    binary = (
        f"; for two classes their sum less 1, here {sum(right) - 1:.4g}, is divided by"
        if len(right) == 2
        else ""
    )
    return (
        f"The classifier is right on {right} of each class, and solving for the true "
        f"shares would enlarge errors up to {confusion.condition:.3g} times, more than "
        f"{LARGEST_CONDITION:g}{binary}. Train a better one, or merge classes that it "
        "confuses by `groups`."
    )
