import pytest
import torch
from torch import nn

from counterplay.nets.equalised import Activated, drawn


LAYERS = {
    "linear": (lambda: nn.Linear(64, 50), 64),
    "convolution": (lambda: nn.Conv2d(8, 50, 3), 72),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("equalised", [True, False])
def test_weights_keep_the_variance_of_what_passes(name, equalised):
    make, fan_in = LAYERS[name]
    layer = drawn(make(), equalised, rate=0.1, bias=1.0)
    std = float(layer.weight.detach().std())
    assert std == pytest.approx(fan_in**-0.5, rel=0.06)
    torch.testing.assert_close(layer.bias, torch.ones(50))


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_parameters_are_standard_normal_and_learn_at_the_rate(rate):
    layer = drawn(nn.Linear(64, 50), True, rate=rate)
    own = layer.parametrizations.weight.original
    assert float(own.detach().std()) * rate == pytest.approx(1, rel=0.06)
    # A step of size 1 moves every layer's weight by `rate / sqrt(fan_in)`, its bias by `rate`.
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 1
    torch.testing.assert_close(layer.weight - weight, torch.full((50, 64), rate / 8))
    torch.testing.assert_close(layer.bias - bias, torch.full((50,), rate))


@pytest.mark.parametrize("name", ["silu", "leaky_relu", "tanh"])
def test_nonlinearities_keep_the_second_moment(name):
    moment = (
        Activated(name)(torch.randn(100_000, generator=torch.Generator().manual_seed(0)))
        .square()
        .mean()
    )
    assert float(moment) == pytest.approx(1, abs=0.02)


def test_the_gain_of_the_published_nonlinearity():
    # E f(x)^2 = (1 + 0.2^2) / 2 for a slope of 0.2 below 0.
    assert Activated("leaky_relu").gain == pytest.approx((2 / 1.04) ** 0.5, abs=1e-3)
