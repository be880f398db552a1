"""One correlated normal in two dimensions."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.data.mixture import Mixture, splits_of
from counterplay.data.splits import Splits
from counterplay.typing import PerInstance


def two_d_normal(
    *,
    n_train: int = 10_000,
    n_valid: int = 1_000,
    n_test: int = 1_000,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Splits:
    """Points around (1, 1) with variances 1 and covariance 0.8.

    Source: Terashita et al. 2021, arXiv 2101.08367, the 2-D experiments.

    Args:
        n_train: Points to learn from.
        n_valid: Points to choose by.
        n_test: Points to prove with.
        seed: Determines the points.
        dtype: Of column `"x"`.

    Returns:
        Columns `"x"` of shape `(n, 2)` and `"y"`, always 0.
    """
    return splits_of(
        mixture(),
        name="2d-normal",
        sizes=(n_train, n_valid, n_test),
        seed=seed,
        dtype=dtype,
    )


def log_density(x: Float[Tensor, "n 2"]) -> PerInstance:
    """The exact logarithm of the density, in nats; differentiable."""
    return mixture().log_density(x)


def mixture() -> Mixture:
    """The distribution of the points."""
    return Mixture(
        means=torch.ones(1, 2, dtype=torch.float64),
        covariance=torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64),
    )
