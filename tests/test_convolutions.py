"""Convolutions by hand: PyTorch's numbers, and derivatives up to the third."""

from functools import partial

import pytest
import torch
from torch import nn

from counterplay import _layers
from counterplay._convolutions import conv2d, laid_out
from counterplay._mode import computing, Mode


LAYERS = {
    "strided": (partial(nn.Conv2d, 2, 4, 4, 2, 1), (2, 2, 6, 6)),
    "one channel": (partial(nn.Conv2d, 1, 2, 4, 2, 1), (2, 1, 6, 6)),
    "pixels left over": (partial(nn.Conv2d, 2, 3, 3, 2), (2, 2, 6, 5)),
    "groups": (partial(nn.Conv2d, 2, 4, 3, 1, (1, 0), (1, 2), 2, False), (2, 2, 5, 6)),
    "many channels": (partial(nn.Conv2d, 5, 2, 3, padding=1), (1, 5, 3, 3)),
    "transposed": (partial(nn.ConvTranspose2d, 2, 4, 4, 2, 1), (2, 2, 3, 3)),
    "transposed to one": (partial(nn.ConvTranspose2d, 3, 1, 4, 2, 1), (2, 3, 3, 3)),
    "transposed, padded": (partial(nn.ConvTranspose2d, 2, 4, 3, 2, 1, 1), (2, 2, 3, 3)),
    "transposed groups": (partial(nn.ConvTranspose2d, 4, 4, 3, groups=2), (1, 4, 3, 2)),
}
MODES = [Mode(by_hand=True, channels_last=order) for order in (False, True)]


def twins(make, shape):
    """A layer, what stands in for it, and an input."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = make().double()
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    return layer, _layers.pure(layer), x


def gradients(layer, x, *params):
    """What a gradient penalty differentiates: the first derivatives."""
    names = [name for name, _ in layer.named_parameters()]
    y = torch.func.functional_call(layer, dict(zip(names, params, strict=True)), (x,))
    return torch.autograd.grad(y.tanh().sum(), (x, *params), create_graph=True)


@pytest.mark.parametrize("mode", MODES, ids=["contiguous", "channels last"])
@pytest.mark.parametrize("name", LAYERS)
def test_numbers_and_derivatives_are_those_of_torch(name, mode):
    theirs, ours, x = twins(*LAYERS[name])
    assert type(ours) is not type(theirs)
    expected = gradients(theirs, x, *theirs.parameters())
    with computing(mode):
        torch.testing.assert_close(ours(x), theirs(x))
        found = gradients(ours, x, *ours.parameters())
        torch.testing.assert_close(found, expected)
        inputs = (x, *ours.parameters())
        assert torch.autograd.gradcheck(partial(gradients, ours), inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(
            partial(gradients, ours), inputs, fast_mode=True
        )


def test_channels_stay_last_where_there_is_one():
    x = torch.zeros(2, 1, 4, 4)
    assert laid_out(x).stride() == (16, 1, 4, 1)
    assert torch.equal(laid_out(x), x)
    y = laid_out(torch.zeros(2, 3, 4, 4))
    assert laid_out(y) is y
    for make, shape in (LAYERS["one channel"], LAYERS["transposed to one"]):
        _, ours, x = twins(make, shape)
        with computing(MODES[1]):
            y = ours(x)
        assert y.stride(1) == 1


def test_transforms_see_the_ordinary_layer():
    layer, ours, x = twins(*LAYERS["strided"])
    torch.testing.assert_close(torch.func.vmap(ours)(x[:, None]), layer(x)[:, None])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
    ],
)
def test_other_paddings_are_left_to_torch(layer):
    x = torch.randn(1, 1, 4, 4)
    with computing(MODES[1]):
        torch.testing.assert_close(_layers.pure(layer)(x), layer(x))
        torch.testing.assert_close(_layers.pure(layer)(x[0]), layer(x[0]))


def test_an_asked_for_size_is_left_to_torch():
    layer, ours, x = twins(partial(nn.ConvTranspose2d, 1, 1, 3, 2), (1, 1, 3, 3))
    with computing(MODES[1]):
        found = ours(x, output_size=[8, 8])
    torch.testing.assert_close(found, layer(x, output_size=[8, 8]))


@pytest.mark.parametrize("mode", [Mode(), *MODES])
def test_the_function_equals_that_of_torch(mode):
    _, ours, x = twins(*LAYERS["strided"])
    expected = nn.functional.conv2d(x, ours.weight, ours.bias, 2, 1)
    with computing(mode):
        found = conv2d(x, ours.weight, ours.bias, stride=2, padding=1)
    torch.testing.assert_close(found, expected)
