"""Intra-class Frechet distance: how far rows that a classifier sorts alike are apart."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics import _classes
from counterplay.metrics._facts import Classified, Facts
from counterplay.metrics._moments import distance_to, Moments, standardised
from counterplay.typing import Scalar


def moments(real: Classified) -> tuple[Moments, ...]:
    """Mean and covariance of each class of a reference, as constants."""
    parts = _by_class("real", Classified(real.features.detach(), real.logits))
    return tuple(_classes.gaussian(*standardised(rows)) for rows in parts)


def intra_class_frechet(real: tuple[Moments, ...] | Classified, fake: Classified) -> Scalar:
    """Intra-class Frechet distance: the mean of the Frechet distances of hard classes.

    A row belongs to the class of its largest logit, and covariances are unbiased.
    Lower is better, at least 0, in squared feature units. Biased upwards, as a class has
    few rows; no value if one has fewer than two, where `class_aware_frechet` has one. Cost
    O(m d^2 + k d^3).
    Source: Miyato and Koyama 2018, arXiv 1802.05637 (intra FID).
    Differs: the classifier sorts the fake rows, so they need no labels.

    Args:
        real: Features and logits of real data, or `moments` of them; a constant.
        fake: Features and logits of generated data; the result is differentiable in the
            features. A row's class counts as constant, so the value jumps where it changes.
    """
    known = moments(real) if isinstance(real, Classified) else real
    found = [
        distance_to(reference, *standardised(rows))
        for reference, rows in zip(known, _by_class("fake", fake, known), strict=True)
    ]
    return torch.stack(found).mean()


def _by_class(
    what: str, rows: Classified, like: Sequence[Moments] | None = None
) -> list[Float[Tensor, "rows d"]]:
    """The features of each class.

    Raises:
        DataError: If a class has too few rows for a covariance.
    """
    features, logits = _classes.checked_rows(what, rows, like)
    classes = logits.argmax(1)
    sizes = classes.bincount(minlength=logits.shape[1])
    if sizes.min() < 2:
        few = (sizes < 2).nonzero().squeeze(1).tolist()
        raise DataError(
            f"`{what}` has {sizes[few].tolist()} rows of the classes {few}, but a distance "
            "within a class needs at least 2 of it. Give more rows, or use "
            "`class_aware_frechet`, whose classes are soft and never empty."
        )
    return list(features[classes.argsort()].split(sizes.tolist()))


FACTS = {
    "intra_class_frechet": Facts(
        intra_class_frechet,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        needs="classified",
        minimum_samples=2,
        prepare=moments,
    )
}
