"""Convolutional generators and discriminators for small images.

Source: Radford, Metz and Chintala 2016 (arXiv 1511.06434), section 3.
Differs: smooth nonlinearities and group norm, because influence needs twice differentiable
networks that do not mix instances; PyTorch's initialisation instead of N(0, 0.02), which is
made for batch norm.
"""

from itertools import pairwise

from torch import nn

from counterplay._layers import spectral_norm
from counterplay.errors import GameError
from counterplay.nets._sizes import pyramid
from counterplay.nets.activations import activation as activation_named
from counterplay.nets.norms import norm as norm_named
from counterplay.nets.upsampling import last_layer as last_layer_named


def generator(
    *,
    image_size: int,
    channels: int = 1,
    latent_dim: int = 32,
    width: int = 32,
    norm: str = "group",
    activation: str = "silu",
    last_layer: str = "baseline",
) -> nn.Sequential:
    """Transposed convolutions that double the side until it is `image_size`.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        latent_dim: Numbers in `z`.
        width: Channels of the last hidden layer; each layer before it has twice as many.
        norm: `"group"`, `"layer"`, `"batch"` or `"none"`. Batch norm mixes fakes only,
            which influence allows.
        activation: Nonlinearity of the hidden layers.
        last_layer: What doubles the side for the last time: `"baseline"`, a transposed
            convolution like the others, or another of `counterplay.nets.upsampling`.

    Returns:
        The network, `(batch, latent_dim) -> (batch, channels, image_size, image_size)`,
        with values in [-1, 1].
    """
    base, n_doublings = pyramid(image_size)
    hidden = [width * 2**i for i in reversed(range(n_doublings))]
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, hidden[0] * base * base),
        nn.Unflatten(1, (hidden[0], base, base)),
    ]
    for c_in, c_out in pairwise(hidden):
        layers += [
            norm_named(norm, c_in),
            activation_named(activation),
            nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1),
        ]
    layers += [norm_named(norm, width), activation_named(activation)]
    return nn.Sequential(*layers, *last_layer_named(last_layer, width, channels), nn.Tanh())


def discriminator(
    *,
    image_size: int,
    channels: int = 1,
    width: int = 32,
    norm: str = "group",
    spectral: bool = False,
    activation: str = "silu",
    n_out: int | None = None,
) -> nn.Sequential:
    """Strided convolutions that halve the side, then one linear layer.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        width: Channels of the first layer; each layer after it has twice as many.
        norm: `"group"`, `"layer"` or `"none"`; the first layer never has one.
        spectral: Put spectral normalisation on every layer (Miyato et al. 2018, arXiv
            1802.05957).
        activation: Nonlinearity of the hidden layers.
        n_out: Numbers per image that go out; None is a single logit, high for real, with
            shape `(batch,)` instead of `(batch, 1)`.

    Returns:
        The network, `(batch, channels, image_size, image_size) -> (batch,)`.

    Raises:
        GameError: If `norm` is `"batch"`.
    """
    if norm == "batch":
        raise GameError(
            "A discriminator with `norm='batch'` mixes the instances of a batch, so the "
            "influence of one instance is undefined. Use 'group', 'layer' or 'none'."
        )
    base, n_halvings = pyramid(image_size)
    hidden = [width * 2**i for i in range(n_halvings)]
    layers: list[nn.Module] = []
    for depth, (c_in, c_out) in enumerate(pairwise([channels, *hidden])):
        layers += [
            nn.Conv2d(c_in, c_out, 4, stride=2, padding=1),
            norm_named(norm if depth else "none", c_out),
            activation_named(activation),
        ]
    layers += [nn.Flatten(1), nn.Linear(hidden[-1] * base * base, n_out or 1)]
    if n_out is None:
        layers.append(nn.Flatten(0))
    network = nn.Sequential(*layers)
    if spectral:
        spectral_norm(network)
    return network
