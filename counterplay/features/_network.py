"""The network of a feature classifier."""

import math

import torch
from torch import nn, Tensor


class SmoothNetwork(nn.Module):
    """Standardised instances, a body that gives features, a head that gives logits.

    Args:
        shape: Shape of an instance.
        n_features: Number of features.
        n_classes: Number of logits.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...], n_features: int, n_classes: int):
        super().__init__()
        self.is_image = len(shape) == 3 and min(shape[1:]) >= 8
        channels = (shape[0], 1, 1) if self.is_image else shape
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        trunk = _convolutions(*shape) if self.is_image else _dense(math.prod(shape))
        width = trunk(torch.zeros(1, *shape)).shape[1]
        self.body = nn.Sequential(trunk, nn.Linear(width, n_features), nn.Sigmoid())
        self.head = nn.Linear(n_features, n_classes)

    def standardise(self, x: Tensor) -> None:
        """Take mean and scale from instances: per channel of images, per value of rows."""
        over = (0, 2, 3) if self.is_image else 0
        scale, mean = torch.std_mean(x, over, correction=0, keepdim=True)
        self.mean.copy_(mean[0])
        varies = scale > 1e-6 * mean.abs()  # a constant's deviation is not 0 but rounding
        self.scale.copy_(torch.where(varies, scale, 1.0)[0])

    def features(self, x: Tensor) -> Tensor:
        """The features, in (0, 1)."""
        return self.body((x - self.mean) / self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.head(self.features(x))


def _convolutions(before: int, height: int, width: int) -> nn.Sequential:
    layers, after = [], 16
    while min(height, width) >= 8:
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2)]
        before, after, height, width = after, min(2 * after, 128), height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten())


def _dense(n_values: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(n_values, 128), nn.SiLU())
