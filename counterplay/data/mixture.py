"""Mixtures of normals with one covariance: data whose density is known exactly."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterplay import _rng
from counterplay.data.splits import PARTS, Splits
from counterplay.errors import DataError
from counterplay.game import Columns
from counterplay.typing import PerInstance


@dataclass(frozen=True)
class Mixture:
    """Equally likely normals that differ in their mean.

    Attributes:
        means: One row per mode.
        covariance: That of every mode.
    """

    means: Float[Tensor, "k d"]
    covariance: Float[Tensor, "d d"]

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
        """Draw `n` points and the mode of each."""
        mode = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(
            (n, self.means.shape[1]), generator=generator, dtype=self.means.dtype
        )
        return self.means[mode] + noise @ torch.linalg.cholesky(self.covariance).mT, mode

    def log_density(self, x: Float[Tensor, "n d"]) -> PerInstance:
        """The logarithm of the density at each row, in nats; differentiable in `x`."""
        means, factor = self.means.to(x), torch.linalg.cholesky(self.covariance).to(x)
        k, d = means.shape
        offsets = (x[:, None] - means).reshape(-1, d)
        whitened = torch.linalg.solve_triangular(factor, offsets.mT, upper=False)
        exponent = -0.5 * whitened.square().sum(0).reshape(-1, k)
        scale = (
            math.log(k) + 0.5 * d * math.log(2 * math.pi) + factor.diagonal().log().sum()
        )
        return exponent.logsumexp(1) - scale


def splits_of(
    mixture: Mixture,
    *,
    name: str,
    sizes: tuple[int, int, int],
    seed: int,
    dtype: torch.dtype,
) -> Splits:
    """Independent parts of the given sizes; one part's size does not change the others.

    Raises:
        DataError: If a part would be empty.
    """
    parts = {}
    for part, size in zip(PARTS, sizes, strict=True):
        if size < 1:
            raise DataError(f"`n_{part}` must be at least 1, got {size}.")
        x, mode = mixture.sample(size, _rng.generator(seed, name, part))
        parts[part] = Columns(
            {"x": x.to(dtype), "y": mode},
            ids=tuple(f"{part}/{i:05d}" for i in range(size)),
            kind="point",
        )
    return Splits(**parts, name=name)
