import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from counterplay.report import pictures


def opened(uri: str) -> Image.Image:
    head, _, text = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_a_grid_shows_black_at_minus_one_and_white_at_one():
    images = torch.tensor([-1.0, 1.0, 0.0, 5.0])[:, None, None, None].expand(4, 1, 8, 8)
    sheet = pictures.grid(images)
    assert sheet.mode == "LA"
    cell = pictures.TINY + 2
    corners = [sheet.getpixel((x, y)) for y in (0, cell) for x in (0, cell)]
    assert corners == [(0, 255), (255, 255), (128, 255), (255, 255)]
    assert sheet.getpixel((pictures.TINY, 0)) == (0, 0)  # the gap is transparent


def test_colours_keep_their_channels():
    red = torch.full((1, 3, 32, 32), -1.0)
    red[:, 0] = 1.0
    assert pictures.grid(red).getpixel((5, 5)) == (255, 0, 0, 255)


def test_other_channels_stand_side_by_side():
    sheet = pictures.grid(torch.zeros(1, 2, 32, 32))
    assert sheet.size == (64, 32)


def test_tiny_images_are_enlarged_without_smoothing():
    image = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])[None].repeat(1, 4, 4)
    picture = opened(pictures.thumbnail(image, "image"))
    assert picture.size == (64, 64)
    assert set(np.unique(np.array(picture))) == {0, 255}


def test_large_images_are_made_smaller():
    assert opened(pictures.thumbnail(torch.zeros(3, 200, 100), "image")).size == (32, 64)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("point", (2,)), ("point", (5,)), ("row", (12,)), ("window", (30, 3)), ("row", (1,))],
)
def test_everything_has_a_thumbnail(kind, shape):
    among = torch.randn(50, *shape, generator=torch.Generator().manual_seed(0))
    picture = opened(pictures.thumbnail(among[0], kind, among=among))
    assert np.array(picture)[..., 3].any()
    pictures.thumbnail(among[0], kind)


def test_a_point_lies_where_it_is():
    among = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    pixels = np.array(opened(pictures.thumbnail(among[1], "point", among=among)))
    down, right = np.nonzero(pixels[..., 3])
    top_right = pixels[8, -9, :3]
    assert tuple(top_right) == (0xCC, 0x5A, 0x2B)
    assert down.min() < 16
    assert right.max() > 112


def test_heavy_files_are_embedded_lossy(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    uri = pictures.embedded(tmp_path / "a.png")
    assert uri.startswith("data:image/webp;base64,")
    assert len(uri) < 600_000
