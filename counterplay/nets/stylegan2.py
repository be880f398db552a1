"""Generators whose latents set the scale of every channel, and residual discriminators.

Source: Karras, Laine, Aittala, Hellsten, Lehtinen and Aila 2020, arXiv 1912.04958 (figures
2 and 7: skip connections in the generator, residual blocks in the discriminator).
Differs: samples depend on the latent alone, since layers add no noise and no styles are
mixed. The discriminator does not see the spread of its batch, which would couple the
instances and leave the influence of one undefined. Nonlinearities are smooth unless told
otherwise, and each keeps the second moment. What the paper filters with (1, 3, 3, 1) is
doubled linearly here, equal but at borders, and halved by the mean over 2 x 2 pixels.
Images go through tanh.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import nn, Tensor

from counterplay._convolutions import conv2d
from counterplay.nets._sizes import pyramid
from counterplay.nets.equalised import Activated, drawn
from counterplay.nets.resnet import HalvingConv2d


_EPS = 1e-8
_MOST_CHANNELS = 512
_SLOW = 0.01  # how fast the mapping learns, where learning rates are equalised
Images = Float[Tensor, "batch c h w"]
Vectors = Float[Tensor, "batch d"]


def generator(
    *,
    image_size: int,
    channels: int = 3,
    latent_dim: int = 512,
    width: int = 32,
    depth: int = 8,
    activation: str = "silu",
    equalised: bool = True,
) -> "Generator":
    """A mapping from latents to styles, and convolutions of a constant that they modulate.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        latent_dim: Numbers in `z`, and in a style.
        width: Channels at the side of the image; each smaller side has twice as many, up
            to 512. The paper's at a side of 1024 is 32.
        depth: Layers of the mapping.
        activation: Nonlinearity of the hidden layers; the paper's is `"leaky_relu"`.
        equalised: Whether parameters are standard normal and layers scale them, so that
            Adam moves all layers alike, the mapping a hundredth as fast.

    Returns:
        The network, `(batch, latent_dim) -> (batch, channels, image_size, image_size)`,
        with values in [-1, 1].
    """
    base, n_doublings = pyramid(image_size)
    hidden = _channels(width, n_doublings)[::-1]
    mapping: list[nn.Module] = [UnitLength()]
    for _ in range(depth):
        layer = nn.Linear(latent_dim, latent_dim)
        mapping += [drawn(layer, equalised, rate=_SLOW), Activated(activation)]
    levels = []
    for c_in, c_out in pairwise([hidden[0], *hidden]):
        pairs = [(c_in, c_out), (c_out, c_out)] if levels else [(c_in, c_out)]
        layers = [Styled(*pair, activation, latent_dim, equalised) for pair in pairs]
        levels.append(Level(layers, Styled(c_out, channels, None, latent_dim, equalised)))
    return Generator(nn.Sequential(*mapping), levels, hidden[0], base)


def discriminator(
    *,
    image_size: int,
    channels: int = 3,
    width: int = 32,
    activation: str = "silu",
    equalised: bool = True,
) -> nn.Sequential:
    """Residual blocks that halve the side, and two linear layers.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        width: Channels at the side of the image; each smaller side has twice as many, up
            to 512.
        activation: Nonlinearity of the hidden layers; the paper's is `"leaky_relu"`.
        equalised: Whether parameters are standard normal and layers scale them.

    Returns:
        The network, `(batch, channels, image_size, image_size) -> (batch,)`.
    """
    base, n_halvings = pyramid(image_size)
    hidden = _channels(width, n_halvings)
    last = hidden[-1]
    layers: list[nn.Module] = [
        drawn(nn.Conv2d(channels, width, 1), equalised),
        Activated(activation),
        *(Halved(*pair, activation, equalised) for pair in pairwise(hidden)),
        drawn(nn.Conv2d(last, last, 3, padding=1), equalised),
        Activated(activation),
        nn.Flatten(1),
        drawn(nn.Linear(last * base * base, last), equalised),
        Activated(activation),
        drawn(nn.Linear(last, 1), equalised),
        nn.Flatten(0),
    ]
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """Images that grow, level by level, each adding its part to the picture.

    Args:
        mapping: From latents to styles.
        levels: From the smallest side to the largest.
        c_in: Channels of the learnt constant.
        side: Its side.
    """

    def __init__(self, mapping: nn.Module, levels: list["Level"], c_in: int, side: int):
        super().__init__()
        self.mapping, self.levels = mapping, nn.ModuleList(levels)
        self.constant = nn.Parameter(torch.randn(1, c_in, side, side))
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")

    def forward(self, z: Vectors) -> Images:
        """Images of latents."""
        style = self.mapping(z)
        x = self.constant.expand(len(z), -1, -1, -1)
        x, picture = self.levels[0](x, style)
        for level in list(self.levels)[1:]:
            x, added = level(self.upsample(x), style)
            picture = self.upsample(picture) + added
        return picture.tanh()


class Level(nn.Module):
    """The layers of one side, and what they add to the picture."""

    def __init__(self, layers: list["Styled"], paint: "Styled"):
        super().__init__()
        self.layers, self.paint = nn.ModuleList(layers), paint

    def forward(self, x: Images, style: Vectors) -> tuple[Tensor, Tensor]:
        """The features, and their part of the picture."""
        for layer in self.layers:
            x = layer(x, style)
        return x, self.paint(x, style)


class Styled(nn.Module):
    """A convolution whose weights a style scales, per instance and channel that goes in.

    With a nonlinearity, the weights that lead to a channel are then divided by their norm:
    where what goes in has unit variance, so has what comes out. Scaling the channels before
    and after an ordinary convolution is the same as scaling its weights.
    Source: Karras et al. 2020, arXiv 1912.04958, eqs. 1 and 3.

    Args:
        c_in: Channels that go in.
        c_out: Channels that come out.
        style_dim: Numbers in a style.
        equalised: Whether layers scale their parameters.
        activation: The nonlinearity of a convolution of 3 x 3; None for one of 1 x 1 that
            paints, as it comes.
    """

    def __init__(
        self, c_in: int, c_out: int, activation: str | None, style_dim: int, equalised: bool
    ):
        super().__init__()
        size = 1 if activation is None else 3
        self.activation = None if activation is None else Activated(activation)
        self.scale = drawn(nn.Linear(style_dim, c_in), equalised, bias=1.0)
        self.convolution = drawn(nn.Conv2d(c_in, c_out, size, bias=False), equalised)
        self.bias = nn.Parameter(torch.zeros(c_out, 1, 1))

    def forward(self, x: Images, style: Vectors) -> Images:
        """Map `(batch, c_in, h, w)` to `(batch, c_out, h, w)`."""
        weight, scale = self.convolution.weight, self.scale(style)
        padding = weight.shape[-1] // 2
        y = conv2d(x * scale[..., None, None], weight, None, stride=1, padding=padding)
        if self.activation is None:
            return y + self.bias
        squared = scale.square() @ weight.square().sum((2, 3)).T  # -> (batch, c_out)
        y = y * (squared + _EPS).rsqrt()[..., None, None]
        return self.activation(y + self.bias)


class Halved(nn.Module):
    """A residual block that halves the side and keeps the variance."""

    def __init__(self, c_in: int, c_out: int, activation: str, equalised: bool):
        super().__init__()
        self.layers = nn.Sequential(
            drawn(nn.Conv2d(c_in, c_in, 3, padding=1), equalised),
            Activated(activation),
            drawn(HalvingConv2d(c_in, c_out, 3), equalised),
            Activated(activation),
        )
        pointwise = drawn(nn.Conv2d(c_in, c_out, 1, bias=False), equalised)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), pointwise)

    def forward(self, x: Images) -> Images:
        """Map `(batch, c_in, h, w)` to `(batch, c_out, h / 2, w / 2)`."""
        return (self.layers(x) + self.shortcut(x)) / math.sqrt(2)


class UnitLength(nn.Module):
    """Latents divided by the root of their mean square."""

    def forward(self, z: Vectors) -> Vectors:
        """The same shape."""
        return z * (z.square().mean(1, keepdim=True) + _EPS).rsqrt()


def _channels(width: int, n_doublings: int) -> list[int]:
    """Channels of every side, the largest first."""
    return [min(width * 2**i, max(width, _MOST_CHANNELS)) for i in range(n_doublings + 1)]
