"""Instances and samples as small pictures: pixels, points, rows or windows."""

import base64
import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from counterplay.report.figures import HARMFUL, INK


SIDE = 64  # pixels of a thumbnail
TINY = 32  # images with a smaller side are enlarged
LARGE = 768  # pixels of a larger side that is made smaller
HEAVY = 200_000  # characters of a data URI that is made smaller
N_AMONG = 400  # instances that one is shown among


def grid(images: Float[Tensor, "n c h w"], *, columns: int | None = None) -> Image.Image:
    """Images side by side, with transparent gaps.

    Tiny images are enlarged without smoothing. One channel is grey, three are red, green
    and blue; of any other number, each channel is shown in grey beside the others.

    Args:
        images: Values in [-1, 1].
        columns: Images in a row; by default the grid is about square.

    Returns:
        The picture.
    """
    tiles = [_picture(image, least=TINY) for image in images]
    columns = columns or max(1, round(len(tiles) ** 0.5))
    width, height = tiles[0].size
    gap = max(1, width // 16)
    rows = -(-len(tiles) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.new("RGBA" if tiles[0].mode == "RGB" else "LA", size)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        sheet.paste(
            tile.convert(sheet.mode), (column * (width + gap), row * (height + gap))
        )
    return sheet


def thumbnail(x: Tensor, kind: str, *, among: Tensor | None = None) -> str:
    """One instance as a data URI of a PNG.

    Args:
        x: The instance, one row of column `"x"`.
        kind: `Columns.kind`: an `"image"` is shown as it is, a `"point"` of the plane in
            its place, a `"window"` as one line per channel, and anything else as bars.
        among: All instances: where a point lies, and what is a usual value.

    Returns:
        Text that begins with `data:image/png;base64,`.
    """
    if kind == "image":
        return data_uri(_picture(x, least=SIDE, most=SIDE))
    everyone = x[None] if among is None else among
    if kind == "point" and x.numel() == 2:
        return data_uri(_point(x, everyone))
    if kind == "window" and x.dim() == 2:
        return data_uri(_window(x, everyone))
    return data_uri(_bars(x, everyone))


def embedded(path: Path) -> str:
    """An image file as a data URI; one that is large or heavy is made smaller and lossy."""
    with Image.open(path) as picture:
        exact = data_uri(picture)
        if max(picture.size) <= LARGE and len(exact) <= HEAVY:
            return exact
        picture.thumbnail((LARGE, LARGE), Image.Resampling.BOX)
        return data_uri(picture, "WebP")


def data_uri(picture: Image.Image, format: Literal["PNG", "WebP"] = "PNG") -> str:
    """A picture as text that stands in a page."""
    content = io.BytesIO()
    options = {"optimize": True} if format == "PNG" else {"quality": 80}
    picture.save(content, format, **options)
    text = base64.b64encode(content.getvalue()).decode()
    return f"data:image/{format.lower()};base64,{text}"


def _picture(image: Tensor, *, least: int, most: int = LARGE) -> Image.Image:
    pixels = ((image.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255)
    values = pixels.to(torch.uint8).numpy()
    flat = (
        np.moveaxis(values, 0, -1) if len(values) == 3 else np.concatenate(list(values), 1)
    )
    picture = Image.fromarray(np.ascontiguousarray(flat))
    if max(picture.size) > most:
        picture.thumbnail((most, most), Image.Resampling.BOX)
        return picture
    times = max(1, -(-least // picture.height))
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.NEAREST)


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGBA", (2 * SIDE, 2 * SIDE))
    return picture, ImageDraw.Draw(picture)


def _point(x: Tensor, among: Tensor) -> Image.Image:
    picture, draw = _canvas()
    cloud = _some(among).double().reshape(-1, 2)
    low, high = among.reshape(-1, 2).amin(0).double(), among.reshape(-1, 2).amax(0).double()
    reach = (high - low).clamp(min=1e-9)
    margin = 8
    span = 2 * (SIDE - margin)

    def at(point: Tensor) -> tuple[float, float]:
        right, up = ((point - low) / reach * span + margin).tolist()
        return right, 2 * SIDE - up

    for point in cloud:
        _dot(draw, at(point), 1.6, INK)
    _dot(draw, at(x.double()), 6, HARMFUL)
    return picture


def _some(among: Tensor) -> Tensor:
    return among[:: max(1, len(among) // N_AMONG)]


def _dot(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, colour: str
) -> None:
    right, down = at
    box = (right - radius, down - radius, right + radius, down + radius)
    draw.ellipse(box, fill=colour)


def _window(x: Tensor, among: Tensor) -> Image.Image:
    picture, draw = _canvas()
    some = _some(among)
    low, high = float(min(some.min(), x.min())), float(max(some.max(), x.max()))
    span = max(high - low, 1e-9)
    for channel in x.mT.double():
        right = np.linspace(4, 2 * SIDE - 4, len(channel))
        down = 2 * SIDE - 8 - (channel.numpy() - low) / span * (2 * SIDE - 16)
        draw.line(list(zip(right, down, strict=True)), fill=HARMFUL, width=2)
    return picture


def _bars(x: Tensor, among: Tensor) -> Image.Image:
    # In standard deviations from the mean, cut at 3, so that unusual entries stand out.
    picture, draw = _canvas()
    rows = _some(among).flatten(1).double()
    std = rows.std(0, correction=0).clamp(min=1e-9)
    heights = ((x.flatten().double() - rows.mean(0)) / std).clamp(-3, 3)[:SIDE]
    width = (2 * SIDE - 8) / len(heights)
    draw.line((4, SIDE, 2 * SIDE - 4, SIDE), fill=INK)
    for i, height in enumerate(heights.tolist()):
        left, end = 4 + i * width, SIDE - height * (SIDE - 6) / 3
        box = (left, min(SIDE, end), left + max(width - 1, 0.5), max(SIDE, end))
        draw.rectangle(box, fill=HARMFUL if abs(height) >= 2 else INK)
    return picture
