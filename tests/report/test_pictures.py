import base64
import io
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from counterplay.report import pictures


def opened(uri: str) -> Image.Image:
    head, _, text = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def lines(uri: str) -> ElementTree.Element:
    head, _, text = uri.partition(",")
    assert head == "data:image/svg+xml"
    assert not set(text) & set('<>"#:/')  # at home in every attribute
    return ElementTree.fromstring(unquote(text))


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


def test_small_images_are_stored_exactly():
    image = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])[None].repeat(1, 4, 4)
    picture = opened(pictures.thumbnail(image, "image")).convert("L")
    assert picture.size == (8, 8)
    assert set(np.unique(np.array(picture))) == {0, 255}
    assert pictures.is_pixelated(image, "image")


def test_large_images_are_made_smaller():
    large = torch.zeros(3, 200, 100)
    assert opened(pictures.thumbnail(large, "image")).size == (32, 64)
    assert not pictures.is_pixelated(large, "image")
    assert not pictures.is_pixelated(torch.zeros(4), "row")


def test_thumbnails_stay_within_their_budget():
    noise = torch.rand(200, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    taken = [
        sum(map(len, pictures.thumbnails(noise, "image", budget=budget)))
        for budget in (4_000_000, 800_000, 300_000)
    ]
    assert 2_000_000 < taken[0] < 4_000_000
    assert taken[1] < 800_000
    assert taken[2] < 300_000


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("point", (2,)), ("point", (5,)), ("row", (12,)), ("window", (30, 3)), ("row", (1,))],
)
def test_everything_has_a_thumbnail(kind, shape):
    among = torch.randn(50, *shape, generator=torch.Generator().manual_seed(0))
    assert len(lines(pictures.thumbnail(among[0], kind, among=among)))
    assert len(lines(pictures.thumbnail(among[0], kind)))


def test_a_point_lies_where_it_is():
    among = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    *_, point = lines(pictures.thumbnail(among[1], "point", among=among))
    assert (point.get("cx"), point.get("cy")) == ("90", "6")


def test_a_window_has_a_line_per_channel():
    window = torch.stack([torch.linspace(0, 1, 500), torch.linspace(1, 0, 500)], 1)
    ((up, down),) = lines(pictures.thumbnail(window, "window"))
    assert up.get("d").startswith("M2,92 ")
    assert up.get("d").endswith(" 94,4")
    assert down.get("d").startswith("M2,4 ")
    assert up.get("stroke") != down.get("stroke")
    assert up.get("d").count(",") == pictures.N_POINTS


def test_unusual_entries_of_a_row_stand_out():
    among = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    _, usual, unusual = lines(
        pictures.thumbnail(torch.tensor([0.0, 9.0, 0.5, 0.0]), "row", among=among)
    )
    assert usual.get("d").count("M") == 3
    assert unusual.get("d").endswith("v-45")


def test_heavy_files_are_embedded_lossy(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    uri = pictures.embedded(tmp_path / "a.png")
    assert uri.startswith("data:image/webp;base64,")
    assert len(uri) < 600_000


def test_many_windows_are_drawn_by_fewer_points():
    windows = torch.randn(300, 60, 5, generator=torch.Generator().manual_seed(0))
    for budget in (2_000_000, 300_000):
        assert sum(map(len, pictures.thumbnails(windows, "window", budget=budget))) < budget
