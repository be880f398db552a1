"""The networks of trained feature maps."""

import math
from itertools import pairwise

import torch
from torch import nn, Tensor


class SmoothNetwork(nn.Module):
    """Standardised instances, a body that gives features, a head that reads them.

    Args:
        shape: Shape of an instance.
        n_features: Number of features.
        n_classes: Number of logits that the head gives; None for a head that gives the
            standardised instance back.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...], n_features: int, n_classes: int | None):
        super().__init__()
        self.is_image = len(shape) == 3 and min(shape[1:]) >= 8
        channels = (shape[0], 1, 1) if self.is_image else shape
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        trunk = _convolutions(*shape) if self.is_image else _dense(math.prod(shape))
        width = trunk(torch.zeros(1, *shape)).shape[1]
        self.body = nn.Sequential(trunk, nn.Linear(width, n_features), nn.Sigmoid())
        if n_classes is not None:
            self.head = nn.Linear(n_features, n_classes)
        else:
            decoder = _upwards(*shape) if self.is_image else _dense_back(shape)
            self.head = nn.Sequential(nn.Linear(n_features, width), nn.SiLU(), *decoder)

    def standardise(self, x: Tensor) -> None:
        """Take mean and scale from instances: per channel of images, per value of rows."""
        over = (0, 2, 3) if self.is_image else 0
        scale, mean = torch.std_mean(x, over, correction=0, keepdim=True)
        self.mean.copy_(mean[0])
        varies = scale > 1e-6 * mean.abs()  # a constant's deviation is not 0 but rounding
        self.scale.copy_(torch.where(varies, scale, 1.0)[0])

    def standardised(self, x: Tensor) -> Tensor:
        """Instances as the body reads them."""
        return (x - self.mean) / self.scale

    def features(self, x: Tensor) -> Tensor:
        """The features, in (0, 1)."""
        return self.body(self.standardised(x))

    def forward(self, x: Tensor) -> Tensor:
        """What the head gives: logits, or standardised instances."""
        return self.head(self.features(x))


def _levels(channels: int, height: int, width: int) -> list[tuple[int, int, int]]:
    """Channels and sides of an image, halved until fewer than 8 pixels a side are left."""
    levels, after = [(channels, height, width)], 16
    while min(height, width) >= 8:
        height, width = height // 2, width // 2
        levels.append((after, height, width))
        after = min(2 * after, 128)
    return levels


def _convolutions(*shape: int) -> nn.Sequential:
    layers = []
    for (before, *_), (after, *_) in pairwise(_levels(*shape)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


def _upwards(*shape: int) -> list[nn.Module]:
    levels = _levels(*shape)
    layers: list[nn.Module] = [nn.Unflatten(1, levels[-1])]
    for (before, *_), (after, *size) in pairwise(reversed(levels)):
        after = max(after, 16)  # the image's own channels come last
        layers += [nn.Upsample(size=tuple(size), mode="bilinear")]
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.SiLU()]
    return [*layers, nn.Conv2d(max(shape[0], 16), shape[0], 3, padding=1)]


def _dense(n_values: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(n_values, 128), nn.SiLU())


def _dense_back(shape: tuple[int, ...]) -> list[nn.Module]:
    return [nn.Linear(128, math.prod(shape)), nn.Unflatten(1, shape)]
