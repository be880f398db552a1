"""Images as feature maps read them."""

import numpy as np
import pytest
import torch
from PIL import Image

from counterplay.errors import DataError, MetricError
from counterplay.features._images import (
    check_images,
    check_range,
    in_colour,
    resized,
    to_levels,
)


def by_pillow(x, size, filter):
    rows = [
        [
            np.asarray(Image.fromarray(channel.numpy()).resize(size[::-1], filter))
            for channel in image
        ]
        for image in x
    ]
    return torch.tensor(np.array(rows))


@pytest.mark.parametrize("size", [(7, 9), (40, 33)], ids=str)
@pytest.mark.parametrize(
    ("mode", "filter"),
    [("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)],
)
def test_images_are_resized_as_pillow_does_it(size, mode, filter):
    x = 255 * torch.rand(2, 3, 20, 17, generator=torch.Generator().manual_seed(0))
    # Both sum a few products of float32 below 255.
    torch.testing.assert_close(
        resized(x, size, mode), by_pillow(x, size, filter), rtol=0, atol=1e-3
    )


def test_levels_of_eight_bits_survive_any_range():
    levels = torch.arange(256.0)
    for low, high in [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)]:
        x = levels / 255 * (high - low) + low
        assert torch.equal(to_levels(x, (low, high), quantise=True), levels)
        assert torch.allclose(to_levels(x, (low, high), quantise=False), levels, atol=1e-4)


def test_rounding_passes_the_gradient_and_clipping_has_none():
    x = torch.tensor([-1.2, -0.501, 0.3, 1.1], requires_grad=True)
    levels = to_levels(x, (-1.0, 1.0), quantise=True)
    assert levels.tolist() == [0, 64, 166, 255]
    assert torch.autograd.grad(levels.sum(), x)[0].tolist() == [0, 127.5, 127.5, 0]


@pytest.mark.parametrize(
    ("values", "declared", "text"),
    [
        (
            (0, 255),
            (-1.0, 1.0),
            r"read images in \[-1, 1\], .* 0 to 255, .* like \[0, 255\]",
        ),
        ((0, 255), (0.0, 1.0), r"read images in \[0, 1\], .* like \[0, 255\]"),
        ((-1, 1), (0.0, 1.0), r"read images in \[0, 1\], .* -1 to 1, .* like \[-1, 1\]"),
        ((-1, 1), (0.0, 255.0), r"read images in \[0, 255\], .* like \[-1, 1\]"),
        ((0, 1), (0.0, 255.0), r"read images in \[0, 255\], .* 0 to 1, .* like"),
        ((-40, 90), (-1.0, 1.0), r"-40 to 90, which fits no usual range"),
    ],
)
def test_a_wrong_range_is_named_with_the_declared_one(values, declared, text):
    x = torch.tensor(values, dtype=torch.float32).expand(3, 1, 4, 2)
    with pytest.raises(MetricError, match=text):
        check_range("map", x, declared)


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        ((-1, 1), (-1.0, 1.0)),
        ((-1.7, 1.9), (-1.0, 1.0)),  # a generator without a bounded output
        ((0, 1), (-1.0, 1.0)),  # bright, perhaps
        ((0, 0), (0.0, 255.0)),  # black
        ((3, 200), (0.0, 255.0)),
    ],
)
def test_values_that_may_be_meant_pass(values, declared):
    check_range("map", torch.tensor(values, dtype=torch.float32), declared)


def test_gray_is_repeated_and_colour_left():
    gray, colour = torch.rand(2, 1, 3, 3), torch.rand(2, 3, 3, 3)
    assert torch.equal(in_colour(gray), gray.repeat(1, 3, 1, 1))
    assert torch.equal(in_colour(colour), colour)


@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 8, 8), (5, 8, 8)], ids=str)
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(DataError, match=r"'map' reads images of shape \(n, 1 or 3"):
        check_images("map", torch.zeros(shape))
