"""Instances and samples as small pictures: pixels, points, rows or windows."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from counterplay.report.drawing import COLOURS, HARMFUL, INK


SIDE = 64  # pixels of a thumbnail
TINY = 32  # images with a smaller side are enlarged in grids
LARGE = 768  # pixels of a larger side that is made smaller
HEAVY = 200_000  # characters of a data URI that is made smaller
BUDGET = 3_000_000  # characters that all thumbnails of a page may take
N_AMONG = 100  # instances that one is shown among
N_USUAL = 10_000  # instances that say what is a usual value
N_POINTS = 64  # drawn of a channel of a window, and bars of a row
_CHARACTERS = (250, 50, 6)  # of a drawing of lines, of a line, and of a point of it
# Ways to store a picture, the best first: largest side, and quality, None for exact.
_WAYS = ((SIDE, None), (SIDE, 80), (SIDE, 50), (40, 50), (TINY, 30))


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
    """One instance as a data URI of a picture.

    Args:
        x: The instance, one row of column `"x"`.
        kind: `Columns.kind`: an `"image"` is shown as it is, a `"point"` of the plane in
            its place, a `"window"` as one line per channel, and anything else as bars.
        among: All instances: where a point lies, and what is a usual value.

    Returns:
        Text that begins with `data:image/`.
    """
    return thumbnails(x[None], kind, among=among)[0]


def thumbnails(
    x: Tensor, kind: str, *, among: Tensor | None = None, budget: int = BUDGET
) -> list[str]:
    """Instances as data URIs, as well as they can be shown in so many characters.

    Images are exact if there is room, and compressed with loss or made smaller if not.

    Args:
        x: The instances, rows of column `"x"`.
        kind: As for `thumbnail`.
        among: All instances, as for `thumbnail`.
        budget: Characters that they may take together.

    Returns:
        One text per instance.
    """
    if kind == "image":
        side, quality = _way(x, budget)
        return [_image(row, side, quality) for row in x]
    everyone, rows = x if among is None else among, x.double()
    if kind == "point" and x[0].numel() == 2:
        return [_svg(drawn) for drawn in _points(rows, everyone.double())]
    everyone = everyone[:: max(1, len(everyone) // N_USUAL)].double()
    if kind == "window" and x.dim() == 3:
        whole, line, point = _CHARACTERS
        room = (budget / len(x) - whole) / min(x.shape[2], len(COLOURS)) - line
        n_points = max(min(int(room / point), N_POINTS), N_POINTS // 8)
        return [_svg(drawn) for drawn in _windows(rows, everyone, n_points)]
    return [_svg(drawn) for drawn in _bars(rows, everyone)]


def is_pixelated(x: Tensor, kind: str) -> bool:
    """Whether images are so small that their pixels should be seen when enlarged."""
    return kind == "image" and max(x.shape[-2:]) <= TINY + TINY // 2


def embedded(path: Path) -> str:
    """An image file as a data URI; one that is large or heavy is made smaller and lossy."""
    with Image.open(path) as picture:
        exact = data_uri(picture)
        if max(picture.size) <= LARGE and len(exact) <= HEAVY:
            return exact
        picture.thumbnail((LARGE, LARGE), Image.Resampling.BOX)
        return data_uri(picture, "WebP")


def data_uri(
    picture: Image.Image,
    format: Literal["PNG", "WebP"] = "PNG",
    *,
    quality: int | None = 80,
) -> str:
    """A picture as text that stands in a page; WebP of quality None is exact."""
    content = io.BytesIO()
    exact = {"optimize": True} if format == "PNG" else {"lossless": True}
    options = exact if format == "PNG" or quality is None else {"quality": quality}
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


def _way(x: Tensor, budget: int) -> tuple[int, int | None]:
    """The best way to store so many images, judged by some of them."""
    some = x[:: max(1, len(x) // 48)]
    for side, quality in _WAYS:
        taken = sum(len(_image(row, side, quality)) for row in some) / len(some)
        if taken * len(x) <= 0.95 * budget:
            return side, quality
    return _WAYS[-1]


def _image(image: Tensor, side: int, quality: int | None) -> str:
    picture = _picture(image, least=1, most=side)
    return data_uri(picture, "WebP", quality=quality)


def _svg(drawn: str) -> str:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96">{drawn}</svg>'
    return "data:image/svg+xml," + quote(text, safe="= ,.-'")


def _path(points: Sequence[Sequence[float]]) -> str:
    return "M" + " ".join(f"{round(right)},{round(down)}" for right, down in points)


def _points(rows: Tensor, among: Tensor) -> list[str]:
    cloud = among.reshape(-1, 2)
    low, reach = cloud.amin(0), (cloud.amax(0) - cloud.amin(0)).clamp(min=1e-9)

    def at(points: Tensor) -> list[list[float]]:
        placed = (points.reshape(-1, 2) - low) / reach * 84 + 6
        return [[right, 96 - up] for right, up in placed.tolist()]

    dots = "".join(f"M{round(right)},{round(down)}h0" for right, down in at(_some(cloud)))
    style = f"fill='none' stroke='{INK}' stroke-width='2' stroke-linecap='round'"
    usual = f"<path d='{dots}' {style}/>"
    return [
        f"{usual}<circle cx='{right:.0f}' cy='{down:.0f}' r='5' fill='{HARMFUL}'/>"
        for right, down in at(rows)
    ]


def _some(among: Tensor) -> Tensor:
    return among[:: max(1, len(among) // N_AMONG)]


def _windows(rows: Tensor, among: Tensor, n_points: int) -> list[str]:
    """One line per channel; the first channels if there are more than colours."""
    some = _some(among)
    low, high = float(min(some.min(), rows.min())), float(max(some.max(), rows.max()))
    shown = rows[:, :, : len(COLOURS)]
    if rows.shape[1] > n_points:
        shown = torch.nn.functional.interpolate(
            shown.mT, size=n_points, mode="linear", align_corners=True
        ).mT
    right = np.linspace(2, 94, shown.shape[1])
    down = (92 - (shown - low) / max(high - low, 1e-9) * 88).numpy()
    group = "<g fill='none' stroke-width='1.5' stroke-linejoin='round'>"
    drawn = []
    for window in down:
        lines = [
            f"<path d='{_path(list(zip(right, line, strict=True)))}' stroke='{colour}'/>"
            for line, colour in zip(window.T, COLOURS, strict=False)
        ]
        drawn.append(f"{group}{''.join(lines)}</g>")
    return drawn


def _bars(rows: Tensor, among: Tensor) -> list[str]:
    """Standard deviations from the mean, cut at 3, so that unusual entries stand out."""
    usual = among.flatten(1)
    std = usual.std(0, correction=0).clamp(min=1e-9)
    heights = ((rows.flatten(1) - usual.mean(0)) / std).clamp(-3, 3)[:, :N_POINTS]
    width = 92 / heights.shape[1]
    stroke = max(width - 1, width / 2)
    lefts = [2 + (i + 0.5) * width for i in range(heights.shape[1])]

    def drawn(row: Sequence[float], *, unusual: bool) -> str:
        lines = "".join(
            f"M{left:.1f},48v{-height * 15:.0f}"
            for left, height in zip(lefts, row, strict=True)
            if (abs(height) >= 2) == unusual
        )
        colour = HARMFUL if unusual else INK
        return f"<path d='{lines}' stroke='{colour}' stroke-width='{stroke:.1f}'/>"

    axis = f"<path d='M2,48h92' stroke='{INK}'/>"
    return [
        axis + drawn(row, unusual=False) + drawn(row, unusual=True)
        for row in heights.tolist()
    ]
