"""The table of classes behind a class-aware Frechet distance, for reports."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterplay.metrics import _classes
from counterplay.metrics._classes import ClassMoments
from counterplay.metrics._facts import Classified


@dataclass(frozen=True)
class ClassReport:
    """The classes of a class-aware Frechet distance, one entry each.

    Attributes:
        distance: Frechet distance, in squared feature units.
        real_proportion: Mean probability among real rows.
        fake_proportion: Mean probability among fake rows.
        real_effective: How many real rows of equal weight say as much about the class.
        fake_effective: The same for fake rows.
        unreliable: Whether the probabilities of either side add up to too few rows.
    """

    distance: Float[Tensor, " k"]
    real_proportion: Float[Tensor, " k"]
    fake_proportion: Float[Tensor, " k"]
    real_effective: Float[Tensor, " k"]
    fake_effective: Float[Tensor, " k"]
    unreliable: Bool[Tensor, " k"]

    def worst(self, n: int = 3) -> list[int]:
        """The `n` classes with the largest distances, the largest first."""
        return self.distance.argsort(descending=True)[:n].tolist()


@torch.no_grad()
def per_class(
    real: ClassMoments | Classified, fake: Classified, *, least: float | None = None
) -> ClassReport:
    """The Frechet distance of each class, and how many rows it rests on.

    The mean of the distances is `class_aware_frechet`.
    Source: Liu et al. 2018, arXiv 1803.07474.

    Args:
        real: Features and logits of real data, or prepared moments of them.
        fake: Features and logits of generated data.
        least: What the probabilities of a class must add up to on either side, in rows, for
            its distance to be reliable; by default twice the number of features.

    Returns:
        The table, as constants.
    """
    known = real if isinstance(real, ClassMoments) else _classes.class_moments(real)
    rows = _classes.weighted("fake", fake, like=known)
    ours, theirs = known.log_proportions.exp(), rows.log_proportions.exp()
    mass = torch.minimum(ours * known.n, theirs * len(rows.features))
    return ClassReport(
        distance=_classes.distances(known, rows),
        real_proportion=ours,
        fake_proportion=theirs,
        real_effective=known.effective,
        fake_effective=rows.effective,
        unreliable=mass < (2 * rows.features.shape[1] if least is None else least),
    )
