"""Layers that keep the variance of what passes, with learning rates that are equalised.

Source: Karras, Aila, Laine and Lehtinen 2018, arXiv 1710.10196, section 4.1.
"""

from typing import TypeVar

import torch
from torch import nn, Tensor
from torch.nn.utils import parametrize

from counterplay.nets.activations import activation as activation_named


_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def drawn(
    layer: _Layer, equalised: bool, *, rate: float = 1.0, bias: float = 0.0
) -> _Layer:
    """The layer with fresh weights of variance `1 / fan_in`.

    Args:
        layer: A linear layer or a convolution; changed in place.
        equalised: Whether the parameters are standard normal and the layer scales them, so
            that an optimizer of steps of one size, such as Adam, moves all layers alike.
        rate: How fast the layer learns if so, relative to others.
        bias: What its biases are at first.

    Returns:
        The same layer.
    """
    factor = layer.weight[0].numel() ** -0.5
    nn.init.normal_(layer.weight, std=1 / rate if equalised else factor)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias / rate if equalised else bias)
    if equalised:
        parametrize.register_parametrization(layer, "weight", Scaled(factor * rate))
        if rate != 1 and layer.bias is not None:
            parametrize.register_parametrization(layer, "bias", Scaled(rate))
    return layer


class Activated(nn.Module):
    """A nonlinearity times what keeps the second moment of a standard normal input."""

    def __init__(self, activation: str):
        super().__init__()
        self.function = activation_named(activation)
        shares = (torch.arange(9999, dtype=torch.float64, device="cpu") + 0.5) / 9999
        quantiles = torch.special.ndtri(shares)
        self.gain = float(self.function(quantiles).square().mean().rsqrt())

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.function(x) * self.gain


class Scaled(nn.Module):
    """A parameter times a constant."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, value: Tensor) -> Tensor:
        """The same shape."""
        return value * self.factor
