"""Layers by hand: PyTorch's numbers, and derivatives up to the third."""

from functools import partial

import pytest
import torch
from torch import nn

from counterplay import _layers
from counterplay._mode import computing, Mode


BY_HAND = Mode(by_hand=True, channels_last=True)


def normal(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def group_norm(affine=True):
    layer = nn.GroupNorm(2, 4, affine=affine).double()
    if affine:
        layer.weight.data, layer.bias.data = normal(4).detach(), normal(5)[1:].detach()
    return layer


def gradients(layer, x, *params):
    names = [name for name, _ in layer.named_parameters()]
    y = torch.func.functional_call(layer, dict(zip(names, params, strict=True)), (x,))
    return torch.autograd.grad(y.tanh().sum(), (x, *params), create_graph=True)


CASES = {
    "silu": (nn.SiLU(), (2, 3)),
    "silu of images": (nn.SiLU(), (2, 2, 3, 3)),
    "silu in place": (
        nn.Sequential(nn.Linear(3, 3), nn.SiLU(inplace=True)).double(),
        (2, 3),
    ),
    "flatten": (nn.Flatten(), (2, 2, 3, 3)),
    "flatten scores": (nn.Flatten(0), (3, 1)),
    "unflatten": (nn.Unflatten(1, (2, 2, 2)), (3, 8)),
    "group norm": (group_norm(), (2, 4, 2, 3)),
    "group norm of rows": (group_norm(), (3, 4)),
    "group norm without parameters": (group_norm(affine=False), (2, 4, 2, 3)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mode", [Mode(), Mode(by_hand=True), BY_HAND])
def test_numbers_and_derivatives_are_those_of_torch(name, mode):
    theirs, shape = CASES[name]
    ours, x = _layers.pure(theirs), normal(*shape)
    expected = gradients(theirs, x, *theirs.parameters())
    with computing(mode):
        torch.testing.assert_close(ours(x), theirs(x))
        torch.testing.assert_close(gradients(ours, x, *ours.parameters()), expected)
        inputs = (x, *ours.parameters())
        assert torch.autograd.gradcheck(partial(gradients, ours), inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(
            partial(gradients, ours), inputs, fast_mode=True
        )


def test_images_and_their_gradients_keep_their_order():
    x = normal(2, 8)
    layers = _layers.pure(nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Flatten()))
    with computing(BY_HAND):
        images = layers[0](x)
        assert images.is_contiguous(memory_format=torch.channels_last)
        (grad,) = torch.autograd.grad(layers[1](images).square().sum(), images)
    assert grad.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(grad, 2 * images)


@pytest.mark.parametrize("orders", [(True, False), (False, True), (False, False)])
def test_group_norm_takes_images_and_gradients_in_any_order(orders):
    # As behind a convolution to one pixel, whose gradient has lost the order of the images.
    formats = [torch.channels_last if last else torch.contiguous_format for last in orders]
    x, grad = (normal(3, 4, 2, 5).detach().contiguous(memory_format=f) for f in formats)
    x.requires_grad_()
    theirs = group_norm()
    ours = _layers.pure(theirs)
    expected = torch.autograd.grad(theirs(x), (x, *theirs.parameters()), grad)
    with computing(BY_HAND):
        found = torch.autograd.grad(ours(x), (x, *ours.parameters()), grad)
    torch.testing.assert_close(found, expected)


def test_group_norm_loses_no_digits_far_from_zero():
    x = 1e4 + normal(2, 4, 5, 5).detach().float()
    theirs = group_norm().float()
    expected = theirs.double()(x.double())
    with computing(BY_HAND):
        found = _layers.pure(theirs.float())(x)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["silu of images", "group norm", "flatten"])
def test_transforms_see_the_ordinary_layer(name):
    layer, shape = CASES[name]
    x = normal(*shape).detach()
    tangent = torch.func.jvp(_layers.pure(layer), (x,), (x,))[1]
    torch.testing.assert_close(tangent, torch.func.jvp(layer, (x,), (x,))[1])


def test_cotangents_may_be_pulled_back_together():
    x = normal(3, 2)
    with computing(BY_HAND):
        (grad,) = torch.autograd.grad(
            _layers.pure(nn.SiLU())(x).sum(), x, create_graph=True
        )
    rows = torch.randn(2, 3, 2, dtype=torch.float64)
    (together,) = torch.autograd.grad(
        grad, x, rows, is_grads_batched=True, retain_graph=True
    )
    for row, found in zip(rows, together, strict=True):
        alone = torch.autograd.grad(grad, x, row, retain_graph=True)[0]
        torch.testing.assert_close(found, alone)
