"""Range, rounding and size in front of a map."""

import pytest
import torch
from torch import nn

from counterplay import features
from counterplay.errors import ConfigError, MetricError
from counterplay.features._images import resized
from counterplay.game import Columns


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 1, 9, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_nothing_is_done_but_the_range_by_default(images):
    phi = features.preprocessed(features.identity())
    torch.testing.assert_close(phi(images), (images.flatten(1) + 1) * 127.5)
    same = features.preprocessed(features.identity(), to_range=(-1, 1))
    torch.testing.assert_close(same(images), images.flatten(1))
    assert phi.name == same.name == "identity"
    assert phi.logits is None
    assert phi.trained_on == ()


def test_images_are_rounded_then_resized_and_both_are_named(images):
    phi = features.preprocessed(features.identity(), resize=5, quantise=True)
    levels = ((images + 1) * 127.5).round()
    torch.testing.assert_close(phi(images), resized(levels, (5, 5)).flatten(1))
    assert phi.name == "identity_uint8_bicubic5"


def test_what_changes_the_features_changes_the_fingerprint():
    make, phi = features.preprocessed, features.identity()
    maps = [
        make(phi),
        make(phi, resize=5),
        make(phi, resize=6),
        make(phi, quantise=True),
        make(phi, from_range=(0, 1)),
        make(phi, to_range=(0, 1)),
        make(features.from_module(nn.Tanh(), "identity")),
        make(make(phi)),
    ]
    assert len({phi.fingerprint for phi in maps}) == len(maps)
    assert make(phi, to_range=(0, 255)).fingerprint == make(phi).fingerprint


def test_the_gradient_goes_through_rounding_and_resizing(images):
    smooth = features.preprocessed(features.identity(), resize=5, to_range=(-1, 1))
    x = images[:2].double().requires_grad_()
    assert torch.autograd.gradcheck(smooth, x)
    rounded = features.preprocessed(
        features.identity(), resize=5, quantise=True, to_range=(-1, 1)
    )
    pull = torch.randn(2, 25, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(rounded(x), x, pull), torch.autograd.grad(smooth(x), x, pull)
    )


@pytest.mark.filterwarnings("ignore:Feature classifier")  # it hardly learns in 5 steps
def test_a_classifiers_logits_are_preprocessed_too(images):
    data = Columns({"x": images, "y": torch.arange(6) % 2}, tuple("abcdef"))
    phi = features.classifier(data, n_steps=5, n_features=3)
    wrapped = features.preprocessed(phi, quantise=True, to_range=(-1, 1))
    levels = ((images + 1) * 127.5).round()
    torch.testing.assert_close(wrapped.logits(images), phi.logits(levels / 127.5 - 1))
    assert wrapped.trained_on == data.ids
    assert wrapped.n_features == 3


def test_a_wrong_range_is_refused(images):
    phi = features.preprocessed(features.identity(), quantise=True)
    with pytest.raises(MetricError, match=r"'identity_uint8' is declared .* \[-1, 1\]"):
        phi((images + 1) * 127.5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"from_range": (1, -1)}, r"`from_range` must be .* got \(1, -1\)"),
        ({"to_range": (0, 0)}, "`to_range` must be"),
        ({"resize": 0}, "`resize` must be at least 1 pixel, got 0"),
    ],
)
def test_options_without_a_meaning_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        features.preprocessed(features.identity(), **options)
