"""The nearest training row of each sample."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterplay.metrics._facts import checked
from counterplay.metrics._neighbours import Neighbourhoods, neighbourhoods
from counterplay.typing import Features


PAIRS = 2**22  # at a time; bounds the memory


@dataclass(frozen=True)
class Nearest:
    """The nearest training row of each sample; `ratio.argsort()` shows copies first."""

    index: Int[Tensor, " m"]
    distance: Float[Tensor, " m"]
    ratio: Float[Tensor, " m"]  # by that row's own neighbour's; up to 1 it is a copy


def nearest(real: Neighbourhoods | Features, fake: Float[Tensor, "m d"]) -> Nearest:
    """The training row that each sample is nearest to, and whether it is a copy.

    `real` must be the features of the training data itself, not of held-out data.
    """
    known = neighbourhoods(real)
    fake = checked("fake", fake.detach(), width=known.rows.shape[1])
    rows, centre = centred(known)
    lengths = rows.square().sum(1)
    # Less the sample's own square, which is the same for all rows.
    parts = (fake - centre).split(max(1, PAIRS // len(rows)))
    index = [torch.addmm(lengths, x, rows.mT, alpha=-2).argmin(1) for x in parts]
    index = torch.cat(index)
    # By matrix products the distance of equal rows is not 0, so take it anew.
    distance = torch.linalg.vector_norm(fake - known.rows[index], dim=1)
    ratio = torch.where(distance > 0, distance / known.radii(1)[index], 0.0)
    return Nearest(index, distance, ratio)


def centred(known: Neighbourhoods) -> tuple[Tensor, Tensor]:
    """The rows around their mean, and the mean; far from 0 squares would lose digits."""
    centre = known.rows.mean(0)
    return known.rows - centre, centre
