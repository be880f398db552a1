"""What a generator and a discriminator of windows make of a series."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from counterplay.estimators._windows import Cut
from counterplay.game import Network
from counterplay.typing import Params


BETAS, EPS = (0.9, 0.999), 1e-8  # of Adam, as usual


class Inverted(NamedTuple):
    """Windows, the rows they cover, and the latents that reproduce them best."""

    rows: NDArray[np.int64]
    x: Float[Tensor, "n time d"]
    z: Float[Tensor, "n time latent"]


@dataclass(frozen=True)
class Judge:
    """Both networks as functions of their parameters, and how latents are searched.

    Attributes:
        generator: From latents to windows.
        discriminator: From windows to one logit per step, high for real.
        latent_dim: Numbers of the latent per step.
        penalty: See `invert`.
        n_steps: See `invert`.
        device: Where to compute.
    """

    generator: Network
    discriminator: Network
    latent_dim: int
    penalty: float
    n_steps: int
    device: str

    def inverted(
        self, params: Params, values: NDArray[np.float64], cuts: Sequence[Cut]
    ) -> Iterator[Inverted]:
        """The windows of scaled values, a bounded number at a time.

        Yields:
            Them with their latents.
        """
        generate = partial(self.generator.evaluated, params)
        for one in cuts:
            for rows in one.chunks():
                x = torch.from_numpy(values[rows]).to(self.device)
                z = invert(
                    generate,
                    x,
                    latent_dim=self.latent_dim,
                    penalty=self.penalty,
                    n_steps=self.n_steps,
                )
                yield Inverted(rows, x, z)

    def errors(self, params: Params, one: Inverted) -> Float[Tensor, "n time d"]:
        """What the generator leaves over."""
        return one.x - self.generator.evaluated(params, one.z)

    def parts(
        self, params: Params, one: Inverted, errors: Float[Tensor, "n time d"]
    ) -> Float[Tensor, "n time 2"]:
        """Reconstruction and discrimination at each step of windows, high for outlying."""
        doubt = -self.discriminator.evaluated(params, one.x)
        return torch.stack([errors.abs().mean(2), doubt], 2)


def in_float64(params: Params) -> Params:
    """Parameters for scoring.

    In float32 a window's company, which decides the order of sums, shows in its score.
    """
    return {
        player: {name: value.double() for name, value in group.items()}
        for player, group in params.items()
    }


def invert(
    generate: Callable[[Tensor], Tensor],
    windows: Float[Tensor, "n time d"],
    *,
    latent_dim: int,
    penalty: float,
    n_steps: int,
    lr: float = 0.05,
) -> Float[Tensor, "n time latent"]:
    """Minimise the mean squared error plus a penalty on the latents' mean square, by Adam.

    All windows are inverted at once, each from latents of 0 and without regard to the
    others, so neither their order nor their company changes a result.

    Source: Li et al. 2019, arXiv 1901.04997, section 3.3, for the search in latents.
    Differs: the squared error takes the place of a similarity, whose bandwidth is 0 for a
    constant window; Adam that of RMSprop; and latents are penalised, because free ones
    reproduce faults as well.

    Args:
        generate: From latents to windows.
        windows: What to reproduce.
        latent_dim: Numbers per step of time.
        penalty: Weight of the latents' mean square, which is 1 for drawn ones.
        n_steps: Steps of Adam.
        lr: Its rate.

    Returns:
        The latents, without a graph.
    """
    z = windows.new_zeros(*windows.shape[:2], latent_dim)
    mean, square = torch.zeros_like(z), torch.zeros_like(z)
    with torch.enable_grad():
        for step in range(1, n_steps + 1):
            z = z.detach().requires_grad_()
            error = (generate(z) - windows).square().mean(2).sum()
            loss = error + penalty * z.square().mean(2).sum()
            (grad,) = torch.autograd.grad(loss, z)
            mean = mean.lerp(grad, 1 - BETAS[0])
            square = square.lerp(grad.square(), 1 - BETAS[1])
            root = (square / (1 - BETAS[1] ** step)).sqrt() + EPS
            z = z - lr * mean / (1 - BETAS[0] ** step) / root
    return z.detach()
