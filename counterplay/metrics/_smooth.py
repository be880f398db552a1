"""Neighbourhoods with a slope in place of their border.

"Is the distance at most the radius?" becomes sigmoid((radius - distance) / temperature), a
logistic slope. "In any neighbourhood" becomes "in the one it is deepest in": a product over
all of them, 1 - prod(1 - sigmoid), would tend to 1 as their number grows, since in many
dimensions every one is nearby. As the temperature falls to 0 the values become those of the
exact metrics, except that a row at the very border counts half.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked
from counterplay.metrics._neighbours import Neighbourhoods, neighbourhoods
from counterplay.typing import Features, PerInstance


def read(
    real: Neighbourhoods | Features,
    fake: Float[Tensor, "m d"],
    k: int,
    temperature: float,
) -> tuple[Neighbourhoods, Float[Tensor, "m d"], float]:
    """Both sides, and the temperature in feature units.

    Args:
        real: Features of real data, or their neighbourhoods; a constant.
        fake: Features of generated data.
        k: Which neighbour sets the radius.
        temperature: Relative to the mean radius of the real rows.

    Raises:
        DataError: If the temperature is not positive.
    """
    if not temperature > 0:
        raise DataError(f"`temperature` must be above 0, got {temperature!r}.")
    known = neighbourhoods(real)
    unit = temperature * float(known.radii(k).mean())
    if not unit:
        raise DataError(
            f"Every row of `real` is there more than {k} times, so all neighbourhoods are "
            "points and no distance is there to smooth over. Look at the feature map, or "
            "raise `k`."
        )
    return known, checked("fake", fake, width=known.rows.shape[1]), unit


def lengths(rows: Features) -> PerInstance:
    """The length of each row; the slope at 0 is 0."""
    return torch.linalg.vector_norm(rows, dim=1)
