"""Normals on a circle, the usual test for lost modes."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.data.mixture import Mixture, splits_of
from counterplay.data.splits import Splits
from counterplay.typing import PerInstance


def ring(
    n_modes: int = 8,
    radius: float = 2.0,
    std: float = 0.02,
    *,
    n_train: int = 10_000,
    n_valid: int = 1_000,
    n_test: int = 1_000,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Splits:
    """Narrow normals, evenly spaced on a circle around the origin.

    Source: Metz et al. 2017, arXiv 1611.02163, the mixture of Gaussians.

    Args:
        n_modes: How many normals.
        radius: Of the circle.
        std: Standard deviation of each normal, in both directions.
        n_train: Points to learn from.
        n_valid: Points to choose by.
        n_test: Points to prove with.
        seed: Determines the points.
        dtype: Of column `"x"`.

    Returns:
        Columns `"x"` of shape `(n, 2)` and `"y"`, the mode, counted from the positive first
        axis against the clock.
    """
    return splits_of(
        mixture(n_modes, radius, std),
        name="ring",
        sizes=(n_train, n_valid, n_test),
        seed=seed,
        dtype=dtype,
    )


def log_density(
    x: Float[Tensor, "n 2"], n_modes: int = 8, radius: float = 2.0, std: float = 0.02
) -> PerInstance:
    """The exact logarithm of the density, in nats; differentiable in `x`."""
    return mixture(n_modes, radius, std).log_density(x)


def mixture(n_modes: int, radius: float, std: float) -> Mixture:
    """The distribution of the points."""
    angle = 2 * math.pi * torch.arange(n_modes, dtype=torch.float64) / n_modes
    return Mixture(
        means=radius * torch.stack([angle.cos(), angle.sin()], dim=1),
        covariance=std**2 * torch.eye(2, dtype=torch.float64),
    )
