"""Low-rank adapters: fine-tuning of a network that itself stays as it is.

Source: Hu et al. 2022, arXiv 2106.09685, eq. 3.
Differs: convolutions have adapters too, their weights read as matrices with one row for
each entry of the first axis; there is no factor `alpha / rank`, which a learning rate says.
"""

import math

import torch
from torch import nn, Tensor
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm  # pyright: ignore[reportPrivateUsage]

from counterplay._layers import SpectralNorm
from counterplay.errors import GameError


_KINDS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


def low_rank(module: nn.Module, rank: int) -> nn.Module:
    """Freeze a network and put an adapter on every linear layer and convolution, in place.

    A weight `W` becomes `W + B A`, with `rank` columns in `B`. Only the adapters are
    trainable: a game counts everything else among the buffers of its state. Since `B`
    starts at 0, the network gives the same numbers until it is trained.

    Args:
        module: The network, whose pretrained parameters are already in it.
        rank: Columns of `B`; a smaller matrix has as many as fit.

    Returns:
        The same network.

    Raises:
        GameError: If the rank is not positive, or the network has spectral normalisation,
            already has adapters, or has nothing to put one on.

    Example:
        >>> network = low_rank(nn.Linear(5, 3), rank=1)
        >>> [tuple(p.shape) for p in network.parameters() if p.requires_grad]
        [(3, 1), (1, 5)]
    """
    if rank < 1:
        raise GameError(f"`rank` must be at least 1, got {rank!r}.")
    for name, layer in module.named_modules():
        if isinstance(layer, (Adapter, SpectralNorm, _SpectralNorm)):
            raise GameError(
                f"The network has a {type(layer).__name__} at {name!r}. It already has "
                "adapters, or a norm that would leave them out. Begin with a network that "
                "has neither."
            )
    layers = [layer for layer in module.modules() if isinstance(layer, _KINDS)]
    if not layers:
        raise GameError(
            f"{type(module).__name__} has neither a linear layer nor a convolution, so "
            "there is nothing to put an adapter on."
        )
    module.requires_grad_(False)
    for layer in layers:
        adapter = Adapter(layer.weight, rank)
        parametrize.register_parametrization(layer, "weight", adapter)
    return module


class Adapter(nn.Module):
    """A weight plus a matrix of low rank.

    Args:
        weight: The weight at first, for its shape.
        rank: Columns of the left factor, if that many fit.
    """

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        n_out, n_in = weight.flatten(1).shape
        rank = min(rank, n_out, n_in)
        self.left = nn.Parameter(weight.new_zeros(n_out, rank))
        self.right = nn.Parameter(torch.randn(rank, n_in).to(weight) / math.sqrt(n_in))

    def forward(self, weight: Tensor) -> Tensor:
        """The same shape."""
        return weight + (self.left @ self.right).view_as(weight)
