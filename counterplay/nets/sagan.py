"""Residual generators and discriminators of classes, with self-attention.

Source: Zhang, Goodfellow, Metaxas and Odena 2019, arXiv 1805.08318, and the authors' code;
the discriminator's product with an embedding of the class is that of Miyato and Koyama
2018, arXiv 1802.05637.
Differs: nonlinearities are smooth unless told otherwise, because influence needs second
derivatives. The generator's matrices are spectrally normalised as the paper says; of them
the authors' code normalises only those of the attention. Samples for evaluation are made
with running statistics. Shortcuts change the channels at the smaller side, and the mean
over 2 x 2 pixels is part of the convolution before it: equal numbers up to rounding.
"""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn, Tensor
from torch.nn.functional import one_hot

from counterplay._layers import spectral_norm
from counterplay.nets._sizes import pyramid
from counterplay.nets.activations import activation as activation_named
from counterplay.nets.attention import SelfAttention
from counterplay.nets.norms import norm as norm_named
from counterplay.nets.resnet import HalvingConv2d, PixelSum, Residual


_LARGEST = 32  # side at which pixels attend to each other: the paper's best
_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def generator(
    *,
    image_size: int,
    channels: int = 3,
    latent_dim: int = 128,
    n_classes: int | None = None,
    width: int = 64,
    norm: str = "batch",
    spectral: bool = True,
    activation: str = "silu",
    attention: bool = True,
) -> "Generator":
    """Residual blocks that double the side until it is `image_size`.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        latent_dim: Numbers in `z`.
        n_classes: Number of labels, each of which has a scale and a shift of its own in
            every norm; None for a generator without labels.
        width: Channels of the last block; those before it have twice as many each, the
            first two the same.
        norm: `"batch"`, `"group"`, `"layer"` or `"none"`. Batch norm mixes fakes only,
            which influence allows.
        spectral: Put spectral normalisation on every layer.
        activation: Nonlinearity of the hidden layers; the paper's is `"relu"`.
        attention: Whether pixels attend to each other, at the largest side up to 32 that is
            not the image's own.

    Returns:
        The network, `(batch, latent_dim)` and, with classes, labels `(batch,)`, to
        `(batch, channels, image_size, image_size)` with values in [-1, 1].
    """
    base, n_doublings = pyramid(image_size)
    hidden = [width * 2**i for i in reversed(range(n_doublings))]
    project = _drawn(nn.Linear(latent_dim, hidden[0] * base * base))
    layers: list[nn.Module] = []
    attended = _attended(image_size)
    for depth, (c_in, c_out) in enumerate(pairwise([hidden[0], *hidden])):
        layers.append(UpBlock(c_in, c_out, n_classes, norm=norm, activation=activation))
        if attention and base * 2 ** (depth + 1) == attended:
            layers.append(SelfAttention(c_out))
    network = Generator(
        nn.Sequential(project, nn.Unflatten(1, (hidden[0], base, base))),
        layers,
        nn.Sequential(
            norm_named(norm, width),
            activation_named(activation),
            _convolution(width, channels),
            nn.Tanh(),
        ),
    )
    if spectral:
        spectral_norm(network)
    return network


def discriminator(
    *,
    image_size: int,
    channels: int = 3,
    n_classes: int | None = None,
    width: int = 64,
    spectral: bool = True,
    activation: str = "silu",
    attention: bool = True,
) -> "Projection":
    """Residual blocks that halve the side, one that keeps it, and a logit.

    Args:
        image_size: Side of the square image: a power of two from 8, or 28, 56, 112, ...
        channels: 1 for gray, 3 for colour.
        n_classes: Number of labels, each of which has an embedding whose product with the
            last features is added to the logit; None for a discriminator without labels.
        width: Channels of the first block; each after it has twice as many, the last two
            the same.
        spectral: Put spectral normalisation on every layer.
        activation: Nonlinearity of the hidden layers; the paper's is `"relu"`.
        attention: Whether pixels attend to each other, at the largest side up to 32 that is
            not the image's own.

    Returns:
        The network, `(batch, channels, image_size, image_size)` and, with classes, labels
        `(batch,)`, to logits `(batch,)`, high for real.
    """
    _, n_halvings = pyramid(image_size)
    hidden = [width * 2**i for i in range(n_halvings)]
    layers: list[nn.Module] = []
    for depth, (c_in, c_out) in enumerate(pairwise([channels, *hidden])):
        layers.append(_halving(c_in, c_out, activation, reads_images=not depth))
        if attention and image_size // 2 ** (depth + 1) == _attended(image_size):
            layers.append(SelfAttention(c_out))
    last = hidden[-1]
    keeping = nn.Sequential(
        activation_named(activation),
        _convolution(last, last),
        activation_named(activation),
        _convolution(last, last),
    )
    layers += [Residual(keeping), activation_named(activation), PixelSum()]
    network = Projection(nn.Sequential(*layers), last, n_classes)
    if spectral:
        spectral_norm(network)
    return network


class Generator(nn.Module):
    """Layers from latents to images, of which some read the label.

    Args:
        first: From latents to the smallest images.
        layers: What follows; an `UpBlock` also reads labels.
        last: From there to the image.
    """

    def __init__(self, first: nn.Module, layers: list[nn.Module], last: nn.Module):
        super().__init__()
        self.first, self.layers, self.last = first, nn.ModuleList(layers), last

    def forward(self, z: Tensor, *labels: Tensor) -> Tensor:
        """Images of latents, and of their labels if there are classes."""
        x = self.first(z)
        for layer in self.layers:
            x = layer(x, *labels) if isinstance(layer, UpBlock) else layer(x)
        return self.last(x)


class UpBlock(nn.Module):
    """A residual block that doubles the side."""

    def __init__(
        self, c_in: int, c_out: int, n_classes: int | None, *, norm: str, activation: str
    ):
        super().__init__()
        self.norms = nn.ModuleList(ClassNorm(norm, c, n_classes) for c in (c_in, c_out))
        self.activation = activation_named(activation)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.layers = nn.ModuleList([_convolution(c_in, c_out), _convolution(c_out, c_out)])
        self.shortcut = _convolution(c_in, c_out, 1)

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        """Map `(batch, c_in, h, w)` to `(batch, c_out, 2 h, 2 w)`."""
        learnt = self.upsample(self.activation(self.norms[0](x, *labels)))
        learnt = self.activation(self.norms[1](self.layers[0](learnt), *labels))
        return self.layers[1](learnt) + self.upsample(self.shortcut(x))


class ClassNorm(nn.Module):
    """A norm whose scale and shift belong to the class.

    Source: Dumoulin, Shlens and Kudlur 2017, arXiv 1610.07629.
    """

    def __init__(self, norm: str, channels: int, n_classes: int | None):
        super().__init__()
        self.norm = norm_named(norm, channels, affine=n_classes is None)
        if n_classes is not None:
            self.scale = nn.Embedding(n_classes, channels)
            self.shift = nn.Embedding(n_classes, channels)
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        """The same shape, `(batch, channels, h, w)`."""
        x = self.norm(x)
        for label in labels:
            x = x * self.scale(label)[..., None, None] + self.shift(label)[..., None, None]
        return x


class Projection(nn.Module):
    """A logit from features, and from their product with an embedding of the class.

    Source: Miyato and Koyama 2018, arXiv 1802.05637.

    Args:
        trunk: From images to features, `(batch, n_features)`.
        n_features: How many there are.
        n_classes: Number of labels, or None.
    """

    def __init__(self, trunk: nn.Module, n_features: int, n_classes: int | None):
        super().__init__()
        self.trunk, self.score = trunk, _drawn(nn.Linear(n_features, 1))
        if n_classes is not None:  # a matrix of embeddings, to be normalised as others are
            self.embed = _drawn(nn.Linear(n_classes, n_features, bias=False))

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        """Logits of images, and of their labels if there are classes."""
        features = self.trunk(x)
        logits = self.score(features).squeeze(-1)
        for label in labels:
            indicators = one_hot(label, self.embed.in_features).to(features)
            logits = logits + torch.linalg.vecdot(self.embed(indicators), features)
        return logits


def _attended(image_size: int) -> int:
    """The side at which pixels attend to each other."""
    side = image_size // 2
    while side > _LARGEST:
        side //= 2
    return side


def _halving(c_in: int, c_out: int, activation: str, *, reads_images: bool) -> Residual:
    """A residual block that halves the side."""
    halving = _drawn(HalvingConv2d(c_out, c_out, 3))
    layers = [_convolution(c_in, c_out), activation_named(activation), halving]
    if not reads_images:
        layers.insert(0, activation_named(activation))
    shortcut = nn.Sequential(nn.AvgPool2d(2), _convolution(c_in, c_out, 1))
    return Residual(nn.Sequential(*layers), shortcut)


def _convolution(c_in: int, c_out: int, size: int = 3) -> nn.Conv2d:
    return _drawn(nn.Conv2d(c_in, c_out, size, padding=size // 2))


def _drawn(layer: _Layer) -> _Layer:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
