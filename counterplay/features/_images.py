"""Images as feature maps read them: range, levels, size, colours; all differentiable."""

import torch
from torch import nn, Tensor

from counterplay.errors import DataError, MetricError


Range = tuple[float, float]  # the values of black and white
USUAL: tuple[Range, ...] = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))


def check_images(name: str, x: Tensor) -> None:
    """Refuse what is no batch of images.

    Raises:
        DataError: If the shape is not `(n, c, h, w)` with 1 or 3 channels.
    """
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        raise DataError(
            f"Feature map {name!r} reads images of shape (n, 1 or 3, height, width), but "
            f"is given {tuple(x.shape)}. Use a map for rows, such as "
            "`features.autoencoder` or `features.identity()`."
        )


def check_range(name: str, x: Tensor, declared: Range) -> None:
    """Refuse values that cannot be meant in the declared range.

    They may exceed it by half its width, as a generator without a bounded output does.

    Raises:
        MetricError: If they exceed it by more, or fill a sliver of it; the usual range that
            fits them is named.
    """
    low, high = (float(value) for value in torch.aminmax(x.detach()))
    slack = (declared[1] - declared[0]) / 2
    outside = not (declared[0] - slack <= low and high <= declared[1] + slack)
    sliver = slack > 50 and -1 <= low < high <= 1
    if not (outside or sliver):
        return
    fits = [usual for usual in USUAL if usual[0] <= low and high <= usual[1]]
    likely = f"which looks like {_text(fits[0])}" if fits else "which fits no usual range"
    raise MetricError(
        f"Feature map {name!r} is declared to read images in {_text(declared)}, but is "
        f"given values from {low:.4g} to {high:.4g}, {likely}. Features of them would mean "
        "nothing. Scale the images, declare their range by `from_range`, or, if they are "
        "generated, look whether the generator has diverged."
    )


def to_levels(x: Tensor, declared: Range, *, quantise: bool) -> Tensor:
    """From the declared range to 0 to 255, if asked as an 8-bit file would keep them.

    Rounding passes the gradient on as it is (straight through); clipping has its true one,
    0 outside of the range.
    """
    low, high = declared
    levels = (x - low) * (255 / (high - low))
    if not quantise:
        return levels
    levels = levels.clamp(0, 255)
    return levels + (levels.round() - levels).detach()


def resized(x: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Images of another size by an antialiased filter, as Pillow does it for floats."""
    return nn.functional.interpolate(x, size, mode=mode, antialias=True)


def in_colour(x: Tensor) -> Tensor:
    """Three channels; gray is repeated."""
    return x.expand(-1, 3, -1, -1)


def _text(declared: Range) -> str:
    return f"[{declared[0]:g}, {declared[1]:g}]"
