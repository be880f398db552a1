"""Residual generators and discriminators, as spectral normalisation was published with.

Source: Miyato, Kataoka, Koyama and Yoshida 2018 (arXiv 1802.05957), appendix B.4, tables 3
and 4; initialisation, bilinear upsampling and the sum over pixels as in Lee and Town 2020
(arXiv 2005.02494), whose counts of parameters these networks have.
Differs: nonlinearities are smooth unless told otherwise, because influence needs second
derivatives. Shortcuts change the channels at the smaller side, and the mean over 2 x 2
pixels is part of the convolution before it: equal numbers up to rounding, for three fifths
of the discriminator's multiplications.
"""

import math

from torch import nn, Tensor
from torch.nn import functional

from counterplay._convolutions import conv2d
from counterplay._layers import spectral_norm
from counterplay.nets._sizes import pyramid
from counterplay.nets.activations import activation as activation_named
from counterplay.nets.norms import norm as norm_named


def generator(
    *,
    image_size: int,
    channels: int = 3,
    latent_dim: int = 128,
    width: int = 256,
    norm: str = "batch",
    activation: str = "silu",
) -> nn.Sequential:
    """Residual blocks that double the side until it is `image_size`.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        latent_dim: Numbers in `z`.
        width: Channels of every hidden layer.
        norm: `"batch"`, `"group"`, `"layer"` or `"none"`. Batch norm mixes fakes only,
            which influence allows.
        activation: Nonlinearity of the hidden layers; the paper's is `"relu"`.

    Returns:
        The network, `(batch, latent_dim) -> (batch, channels, image_size, image_size)`,
        with values in [-1, 1].
    """
    base, n_doublings = pyramid(image_size)

    def block() -> nn.Module:
        double = nn.Upsample(scale_factor=2, mode="bilinear")
        return Residual(
            nn.Sequential(
                norm_named(norm, width),
                activation_named(activation),
                double,
                _convolution(width, width),
                norm_named(norm, width),
                activation_named(activation),
                _convolution(width, width),
            ),
            # Weights of the upsampling sum to 1, so it may as well come last.
            nn.Sequential(_pointwise(width, width), double),
        )

    project = nn.Linear(latent_dim, width * base * base)
    to_image = nn.Conv2d(width, channels, 3, padding=1)
    for layer in (project, to_image):
        nn.init.xavier_uniform_(layer.weight)
    return nn.Sequential(
        project,
        nn.Unflatten(1, (width, base, base)),
        *[block() for _ in range(n_doublings)],
        norm_named(norm, width),
        activation_named(activation),
        to_image,
        nn.Tanh(),
    )


def discriminator(
    *,
    image_size: int,
    channels: int = 3,
    width: int = 128,
    spectral: bool = True,
    activation: str = "silu",
) -> nn.Module:
    """Residual blocks that halve the side, two that keep it, and one linear layer.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        width: Channels of every hidden layer.
        spectral: Put spectral normalisation on every layer.
        activation: Nonlinearity of the hidden layers; the paper's is `"relu"`.

    Returns:
        The network, `(batch, channels, image_size, image_size) -> (batch,)`: logits, high
        means real.
    """
    _, n_doublings = pyramid(image_size)

    def block(*, halves: bool) -> nn.Module:
        last = _halving_convolution if halves else _convolution
        return Residual(
            nn.Sequential(
                activation_named(activation),
                _convolution(width, width),
                activation_named(activation),
                last(width, width),
            ),
            nn.Sequential(nn.AvgPool2d(2), _pointwise(width, width)) if halves else None,
        )

    first = Residual(  # reads the image, so it begins without a nonlinearity
        nn.Sequential(
            _convolution(channels, width),
            activation_named(activation),
            _halving_convolution(width, width),
        ),
        nn.Sequential(nn.AvgPool2d(2), _pointwise(channels, width)),
    )
    score = nn.Linear(width, 1)
    nn.init.xavier_uniform_(score.weight)
    network = nn.Sequential(
        first,
        *[block(halves=True) for _ in range(n_doublings - 2)],
        *[block(halves=False) for _ in range(2)],
        activation_named(activation),
        PixelSum(),
        score,
        nn.Flatten(0),
    )
    return spectral_norm(network) if spectral else network


class Residual(nn.Module):
    """Layers beside a shortcut, `x + layers(x)`.

    Args:
        layers: What is learnt.
        shortcut: What the input passes instead, the identity if None.
    """

    def __init__(self, layers: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.layers, self.shortcut = layers, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The sum, of the shape of either part."""
        past = x if self.shortcut is None else self.shortcut(x)
        return self.layers(x) + past


class HalvingConv2d(nn.Conv2d):
    """A convolution of 3 x 3 and the mean over 2 x 2 pixels after it, in one.

    The four kernels that meet in a mean overlap in 4 x 4 pixels, so one convolution of
    that size with stride 2 does both, with 16 multiplications where two steps need 36.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map `(batch, c, h, w)` to half the side."""
        kernel = functional.avg_pool2d(functional.pad(self.weight, (1,) * 4), 2, stride=1)
        # Shifted by 0 and 1 in either direction, then averaged: the mean of neighbours.
        return conv2d(input, kernel, self.bias, stride=2, padding=1)


class PixelSum(nn.Module):
    """The sum over all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, c, h, w)` to `(batch, c)`."""
        return x.sum((2, 3))


def _convolution(c_in: int, c_out: int) -> nn.Conv2d:
    return _drawn(nn.Conv2d(c_in, c_out, 3, padding=1))


def _halving_convolution(c_in: int, c_out: int) -> nn.Conv2d:
    return _drawn(HalvingConv2d(c_in, c_out, 3))


def _pointwise(c_in: int, c_out: int) -> nn.Conv2d:
    layer = nn.Conv2d(c_in, c_out, 1)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def _drawn(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.xavier_uniform_(layer.weight, math.sqrt(2.0))
    return layer
