"""The networks of SO-GAAL and MO-GAAL: generators that begin as the identity.

Source: Liu et al. 2019, arXiv 1809.10816, section 3.3, and the authors' code.
"""

import math

import torch
from jaxtyping import Float
from torch import nn, Tensor


class Generators(nn.Module):
    """Networks of equal shape, `relu(relu(z A + a) B + b)` each, computed together.

    Attributes:
        hidden: `A` of every network, shape `(k, latent_dim, d)`.
        hidden_bias: `a`, shape `(k, 1, d)`.
        out: `B`, shape `(k, d, d)`.
        out_bias: `b`, shape `(k, 1, d)`.
    """

    def __init__(self, latent_dim: int, d: int, k: int):
        super().__init__()
        self.hidden = nn.Parameter(torch.eye(latent_dim, d).repeat(k, 1, 1))
        self.hidden_bias = nn.Parameter(torch.zeros(k, 1, d))
        self.out = nn.Parameter(torch.eye(d).repeat(k, 1, 1))
        self.out_bias = nn.Parameter(torch.zeros(k, 1, d))

    def forward(self, z: Float[Tensor, "*k m latent_dim"]) -> Float[Tensor, "k m d"]:
        """The samples of every network, from its own latents or from shared ones."""
        z = z.expand(len(self.hidden), *z.shape[-2:])
        inner = torch.baddbmm(self.hidden_bias, z, self.hidden).relu()
        return torch.baddbmm(self.out_bias, inner, self.out).relu()


def generators(d: int, k: int, *, latent_dim: int | None = None) -> Generators:
    """`k` generators of rows in [0, inf), each the identity on positive latents at first.

    Args:
        d: Numbers per row.
        k: Number of networks.
        latent_dim: Numbers per latent; `d` if left out.

    Returns:
        The networks as one module, `(k, m, latent_dim) -> (k, m, d)`; latents of shape
        `(m, latent_dim)` are shared.
    """
    return Generators(latent_dim or d, d, k)


def generator(d: int, *, latent_dim: int | None = None) -> nn.Sequential:
    """One generator, likewise.

    Args:
        d: Numbers per row.
        latent_dim: Numbers per latent; `d` if left out.

    Returns:
        The network, `(batch, latent_dim) -> (batch, d)`.
    """
    hidden, out = nn.Linear(latent_dim or d, d), nn.Linear(d, d)
    for layer in (hidden, out):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(hidden, nn.ReLU(), out, nn.ReLU())


def discriminator(d: int, width: int) -> nn.Sequential:
    """A network with one hidden layer of rectifiers.

    Args:
        d: Numbers per row.
        width: Units of the hidden layer; in the paper the root of the number of rows.

    Returns:
        The network, `(batch, d) -> (batch, 1)`, one logit per row.
    """
    hidden, out = nn.Linear(d, width), nn.Linear(width, 1)
    for layer in (hidden, out):
        # Cut at two standard deviations, which leaves 0.7737 of the variance.
        std = math.sqrt(1 / (0.7737 * layer.in_features))
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(hidden, nn.ReLU(), out)
