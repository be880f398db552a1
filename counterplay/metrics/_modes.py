"""Which mode a sample belongs to, where the centres of the modes are known."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterplay.metrics._facts import checked


Centres = Float[Tensor, "k d"] | Sequence[Sequence[float]]  # one row per mode


def centres_of(
    centres: Centres, fake: Float[Tensor, "m d"], *, minimum: int = 1
) -> tuple[Float[Tensor, "k d"], Float[Tensor, "m d"]]:
    """Both in float64, of equal width; the samples differentiable, the centres constant."""
    known = checked("centres", torch.as_tensor(centres).detach(), minimum=minimum)
    return known, checked("fake", fake, width=known.shape[1])


def nearest_mode(
    centres: Float[Tensor, "k d"], fake: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, " m"], Int[Tensor, " m"]]:
    """How far the nearest centre of each sample is, and which one it is."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(fake.detach(), centres, compute_mode=exact).min(1)
