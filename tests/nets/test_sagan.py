import pytest
import torch
from torch import nn
from torch.func import functional_call

from counterplay import _layers
from counterplay.errors import ConfigError
from counterplay.nets import sagan, SelfAttention
from counterplay.nets.sagan import ClassNorm, Projection


@pytest.mark.parametrize("image_size", [8, 16, 28, 64])
@pytest.mark.parametrize("n_classes", [None, 3])
def test_shapes_and_range(image_size, n_classes):
    common = {"image_size": image_size, "channels": 1, "width": 4, "n_classes": n_classes}
    G, D = sagan.generator(**common, latent_dim=5), sagan.discriminator(**common)
    labels = [] if n_classes is None else [torch.tensor([0, 2])]
    fake = G(10 * torch.randn(2, 5), *labels)
    assert fake.shape == (2, 1, image_size, image_size)
    assert fake.abs().max() <= 1
    assert D(fake, *labels).shape == (2,)


def count(network):
    return sum(p.numel() for p in network.parameters())


def convolution(c_in, c_out, size=3):
    return c_in * c_out * size**2 + c_out


def attention(c):
    return 2 * c * (c // 8) + 2 * c * (c // 2) + 1


def test_published_networks_have_the_parameters_of_the_published_tables():
    # Layer by layer, at 128 x 128 with 1000 classes and 64 channels.
    with torch.device("meta"):
        common = {"image_size": 128, "n_classes": 1000, "spectral": False}
        G, D = sagan.generator(**common), sagan.discriminator(**common)
    blocks = [(1024, 1024), (1024, 512), (512, 256), (256, 128), (128, 64)]
    of_g = 129 * 1024 * 16 + attention(256) + 2 * 64 + convolution(64, 3)
    for c_in, c_out in blocks:
        of_g += 2 * 1000 * (c_in + c_out)  # scales and shifts of each class
        of_g += convolution(c_in, c_out) + convolution(c_out, c_out)
        of_g += convolution(c_in, c_out, 1)
    blocks = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    of_d = attention(128) + 2 * convolution(1024, 1024) + 1025 + 1000 * 1024
    for c_in, c_out in blocks:
        of_d += convolution(c_in, c_out) + convolution(c_out, c_out)
        of_d += convolution(c_in, c_out, 1)
    assert count(G) == of_g == 42_078_852
    assert count(D) == of_d == 39_463_618


def channels_of_attention(network):
    (layer,) = [layer for layer in network.modules() if isinstance(layer, SelfAttention)]
    return layer.out.out_channels


@pytest.mark.parametrize(
    ("image_size", "of_g", "of_d"), [(16, 16, 8), (32, 16, 8), (128, 32, 16)]
)
def test_pixels_attend_at_the_side_of_the_paper(image_size, of_g, of_d):
    # The side halves as channels double: at 32 of 128 there are 4 and 2 times the width.
    with torch.device("meta"):
        common = {"image_size": image_size, "width": 8, "spectral": False}
        G, D = sagan.generator(**common), sagan.discriminator(**common)
        assert channels_of_attention(G) == of_g
        assert channels_of_attention(D) == of_d
        twin = sagan.generator(**common, attention=False)
    assert count(G) - count(twin) == attention(of_g)


def test_each_class_has_its_scale_and_shift():
    layer = ClassNorm("batch", 4, 3).double()
    layer.scale.weight.data.normal_()
    layer.shift.weight.data.normal_()
    x, labels = torch.randn(5, 4, 2, 2, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    mean, var = (
        x.mean((0, 2, 3), keepdim=True),
        x.var((0, 2, 3), keepdim=True, correction=0),
    )
    expected = torch.stack([
        image * layer.scale.weight[k, :, None, None] + layer.shift.weight[k, :, None, None]
        for image, k in zip((x - mean) / (var + 1e-5).sqrt(), labels, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(layer(x, labels), expected)
    pure = _layers.pure(layer).train()
    torch.testing.assert_close(pure(x, labels), expected)


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
def test_other_norms_have_classes_too(norm):
    layer = ClassNorm(norm, 8, 3)
    assert count(layer) == 2 * 3 * 8
    assert layer(torch.randn(2, 8, 2, 2), torch.tensor([0, 2])).shape == (2, 8, 2, 2)


def test_the_logit_is_a_score_and_a_product_with_the_class():
    D = Projection(nn.Identity(), 4, 3)
    x, labels = torch.randn(5, 4), torch.tensor([0, 2, 1, 1, 0])
    vectors = D.embed.weight.T[labels]
    expected = x @ D.score.weight[0] + D.score.bias + (x * vectors).sum(1)
    torch.testing.assert_close(D(x, labels), expected)


def test_every_matrix_keeps_norm_one_as_the_parameters_move():
    G = sagan.generator(image_size=8, width=4, n_classes=3)
    D = sagan.discriminator(image_size=8, width=4, n_classes=3)
    kinds = (nn.Linear, nn.Conv2d)
    for network in (G, D):
        matrices = [m for m in network.modules() if isinstance(m, kinds)]
        layers = _layers.spectral_layers(network)
        assert len(layers) == len(matrices)
        params, buffers = dict(network.named_parameters()), dict(network.named_buffers())
        for value in params.values():
            value.data.add_(torch.randn_like(value))
        for _ in range(60):
            buffers = _layers.advance(layers, params, buffers)
        network.load_state_dict(params | buffers)
        for layer in matrices:
            norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            assert float(norm.detach()) == pytest.approx(1, abs=0.05)


def test_states_go_round():
    D = sagan.discriminator(image_size=8, width=4, n_classes=3, channels=1)
    twin = sagan.discriminator(image_size=8, width=4, n_classes=3, channels=1)
    inputs = torch.randn(2, 1, 8, 8), torch.tensor([0, 2])
    twin.load_state_dict(D.state_dict())
    assert torch.equal(D(*inputs), twin(*inputs))
    assert torch.equal(functional_call(twin, dict(D.state_dict()), inputs), D(*inputs))


def test_other_sizes_are_refused():
    for make in (sagan.generator, sagan.discriminator):
        with pytest.raises(ConfigError, match=r"power of two from 8, .* got 30"):
            make(image_size=30)
