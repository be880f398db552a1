"""Normals on a square grid, the harder test for lost modes."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.data.mixture import Mixture, splits_of
from counterplay.data.splits import Splits
from counterplay.typing import PerInstance


def grid(
    side: int = 5,
    spacing: float = 2.0,
    std: float = 0.05,
    *,
    n_train: int = 10_000,
    n_valid: int = 1_000,
    n_test: int = 1_000,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Splits:
    """Narrow normals on a square grid around the origin.

    Source: Srivastava et al. 2017, arXiv 1705.07761, the synthetic data.

    Args:
        side: Normals in a row of the grid; there are `side * side`.
        spacing: Distance of neighbours.
        std: Standard deviation of each normal, in both directions.
        n_train: Points to learn from.
        n_valid: Points to choose by.
        n_test: Points to prove with.
        seed: Determines the points.
        dtype: Of column `"x"`.

    Returns:
        Columns `"x"` of shape `(n, 2)` and `"y"`, the mode, counted from the lower left
        corner along the second axis.
    """
    return splits_of(
        mixture(side, spacing, std),
        name="grid",
        sizes=(n_train, n_valid, n_test),
        seed=seed,
        dtype=dtype,
    )


def log_density(
    x: Float[Tensor, "n 2"], side: int = 5, spacing: float = 2.0, std: float = 0.05
) -> PerInstance:
    """The exact logarithm of the density, in nats; differentiable in `x`."""
    return mixture(side, spacing, std).log_density(x)


def mixture(side: int, spacing: float, std: float) -> Mixture:
    """The distribution of the points."""
    line = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return Mixture(
        means=torch.cartesian_prod(line, line).reshape(-1, 2),
        covariance=std**2 * torch.eye(2, dtype=torch.float64),
    )
