"""Frechet distances class by class, where a classifier says what class a row is of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics import _softmax
from counterplay.metrics._facts import checked, Classified
from counterplay.metrics._moments import distance_to, gram, Moments, moments_from


@dataclass(frozen=True)
class ClassMoments:
    """Mean and covariance of the features of each class, in float64."""

    n: int  # rows
    log_proportions: Float[Tensor, " k"]
    effective: Float[Tensor, " k"]  # 1 / sum of the squares of a class's weights, in rows
    moments: tuple[Moments, ...]  # with weighted means and biased weighted covariances


@dataclass(frozen=True)
class WeightedRows:
    """Features whose weights in each class sum to 1 over the rows."""

    features: Float[Tensor, "n d"]
    log_weights: Float[Tensor, "n k"]
    log_proportions: Float[Tensor, " k"]

    @property
    def effective(self) -> Float[Tensor, " k"]:
        """How many rows of equal weight say as much about a class."""
        return 1 / (2 * self.log_weights).exp().sum(0)

    def standardised(self, k: int) -> tuple[Float[Tensor, " d"], Float[Tensor, "n d"]]:
        """The weighted mean of class k, and A, where A' A is its weighted covariance."""
        # Half the logarithm, as the root of a weight that is 0 has no derivative.
        roots = (self.log_weights[:, k] / 2).exp()
        mean = roots.square() @ self.features
        return mean, roots[:, None] * (self.features - mean)


def class_moments(real: Classified) -> ClassMoments:
    """Moments of the classes of a reference, as constants; the costly part, done once."""
    rows = weighted("real", Classified(real.features.detach(), real.logits.detach()))
    return ClassMoments(
        n=len(rows.features),
        log_proportions=rows.log_proportions,
        effective=rows.effective,
        moments=tuple(gaussian(*rows.standardised(k)) for k in range(len(rows.effective))),
    )


def weighted(
    what: str, rows: Classified, *, like: ClassMoments | None = None
) -> WeightedRows:
    """Rows with the weight of each in each class, p_ik / sum_i p_ik.

    The weights come from logarithms, so a class has them however improbable it is.
    """
    features, logits = checked_rows(what, rows, like and like.moments)
    log_p = torch.log_softmax(logits, dim=1)
    log_weights = log_p - torch.logsumexp(log_p, dim=0)
    return WeightedRows(features, log_weights, _softmax.log_proportions(log_p))


def distances(real: ClassMoments, fake: WeightedRows) -> Float[Tensor, " k"]:
    """The Frechet distance of each class, between Gaussians with its weighted moments."""
    return torch.stack(
        [distance_to(m, *fake.standardised(k)) for k, m in enumerate(real.moments)]
    )


def gaussian(mean: Float[Tensor, " d"], centred: Float[Tensor, "n d"]) -> Moments:
    """The moments whose covariance is `centred.mT @ centred`."""
    if len(centred) > len(mean):
        return moments_from(mean, gram(centred))
    return Moments(mean, centred.mT)


def checked_rows(
    what: str, rows: Classified, like: Sequence[Moments] | None = None
) -> Classified:
    """Features and logits in float64, as many of each as `like` has.

    Raises:
        DataError: If they are not of the same rows.
    """
    width, n_classes = (len(like[0].mean), len(like)) if like else (None, None)
    features = checked(f"{what}.features", rows.features, minimum=2, width=width)
    logits = checked(f"{what}.logits", rows.logits, width=n_classes)
    if len(features) != len(logits):
        raise DataError(
            f"`{what}` has {len(features)} rows of features and {len(logits)} of logits. "
            "Both must be of the same instances or samples, in the same order."
        )
    return Classified(features, logits)
