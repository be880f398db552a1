import pytest
import torch

from counterplay.nets import SelfAttention, spectral_norm
from counterplay.nets.attention import Images


VARIANTS = ("official", "paper")


def layer_and_images(variant, *, gamma=0.7):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = SelfAttention(16, variant=variant).double()
        x = torch.randn(3, 16, 4, 6, dtype=torch.float64)
    layer.gamma.data.fill_(gamma)
    return layer, x


def largest_of_four(image):
    """(c, h, w) to (c, h / 2 * w / 2), cell by cell."""
    c, h, w = image.shape
    cells = [
        image[:, i : i + 2, j : j + 2].reshape(c, 4).max(1).values
        for i in range(0, h, 2)
        for j in range(0, w, 2)
    ]
    return torch.stack(cells, 1)


def pixel_by_pixel(layer: SelfAttention, image: Images, *, pooled: bool):
    """The layer for one image, by loops."""
    mixed = {
        name: torch.einsum("oi,ihw->ohw", getattr(layer, name).weight[..., 0, 0], image)
        for name in ("query", "key", "value")
    }
    thin = largest_of_four if pooled else lambda image: image.flatten(1)
    key, value = thin(mixed["key"]), thin(mixed["value"])
    found = image.clone()
    for i in range(image.shape[1]):
        for j in range(image.shape[2]):
            likeness = torch.stack([mixed["query"][:, i, j] @ k for k in key.T])
            read = value @ (likeness.exp() / likeness.exp().sum())
            found[:, i, j] += layer.gamma * (layer.out.weight[..., 0, 0] @ read)
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_pixel_reads_the_keys_it_asks_for(variant):
    layer, x = layer_and_images(variant)
    expected = [pixel_by_pixel(layer, image, pooled=variant == "official") for image in x]
    torch.testing.assert_close(layer(x), torch.stack(expected))


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_of_the_attention_sum_to_one(variant):
    layer, x = layer_and_images(variant)
    attention = layer.attention(x)
    assert attention.shape == (3, 24, 6 if variant == "official" else 24)
    torch.testing.assert_close(attention.sum(2), torch.ones(3, 24).double())


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_layer_begins_as_the_identity_and_can_leave_it(variant):
    layer, x = layer_and_images(variant, gamma=0.0)
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    assert layer.gamma.grad.abs() > 1e-3
    assert not layer.query.weight.grad.any()


def test_pixels_have_no_order_of_their_own():
    layer, x = layer_and_images("paper")
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    shuffled = x.flatten(2)[..., order].view_as(x)
    expected = layer(x).flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(layer(shuffled), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_there_are_second_derivatives_behind_spectral_norm(variant):
    layer, x = layer_and_images(variant)
    spectral_norm(layer)
    assert torch.autograd.gradgradcheck(layer, x[:1, :, :2, :2].clone().requires_grad_())
    for conv in (layer.query, layer.key, layer.value, layer.out):
        torch.testing.assert_close(
            torch.linalg.matrix_norm(conv.weight.flatten(1), 2), torch.ones(()).double()
        )
