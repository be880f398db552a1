"""Changes of images that a gradient passes through, as functions of given random numbers.

A game draws the numbers in `draw`, so that a move can be repeated, and changes instances
and samples alike. Where a change has an inverse, it forms a group: four quarter turns are
none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import get_args, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from counterplay.errors import GameError


Images = Float[Tensor, "n c h w"]
Change = Callable[[Tensor], Tensor]
Kind = Literal["colour", "shift", "cut"]
N_NUMBERS = 7  # random numbers that an image takes, whatever is changed


def turned(x: Tensor, quarters: Int[Tensor, " n"] | int) -> Tensor:
    """Images, or points of the plane, turned counterclockwise by quarters of a turn.

    Args:
        x: Square images, `(n, c, h, w)`, or points, `(n, 2)`.
        quarters: How far, one number for all or one per row.

    Returns:
        The same shape.

    Raises:
        GameError: If rows are neither.
    """
    if not isinstance(quarters, int):
        turns = torch.stack([turned(x, k) for k in range(4)])
        return turns[quarters % 4, torch.arange(len(x), device=x.device)]
    if x.dim() == 4 and x.shape[2] == x.shape[3]:
        return torch.rot90(x, quarters, (2, 3))
    if x.shape[1:] == (2,):
        for _ in range(quarters % 4):
            x = torch.stack([-x[:, 1], x[:, 0]], 1)
        return x
    raise GameError(
        f"Rows of shape {tuple(x.shape[1:])} cannot be turned; square images and points of "
        "the plane can."
    )


def mirrored(x: Images, axis: int) -> Images:
    """Images mirrored left to right (`axis=3`) or top to bottom (`axis=2`)."""
    return x.flip(axis)


def corner(x: Images, which: int, *, share: float = 0.75) -> Images:
    """One of the four corners of each image, brought back to full size.

    Args:
        x: Images.
        which: 0 to 3: top left, top right, bottom left, bottom right.
        share: Side of the corner, as a share of the image's.
    """
    height, width = x.shape[2:]
    h, w = round(share * height), round(share * width)
    top, left = (height - h) * (which // 2), (width - w) * (which % 2)
    return interpolate(x[:, :, top : top + h, left : left + w], (height, width))


def shifted(x: Images, by: Float[Tensor, "n 2"], *, most: float = 0.125) -> Images:
    """Images shifted by whole pixels, with zeros where nothing was.

    Source: Zhao et al. 2020, arXiv 2006.10738.

    Args:
        x: Images.
        by: Numbers in [0, 1], down and to the right; 0.5 is not at all.
        most: Longest shift, as a share of the side.
    """
    rows, columns = (
        _source(side, number, round(most * side))
        for side, number in zip(x.shape[2:], by.T, strict=True)
    )
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))  # index 0 and side + 1 are zeros
    n = torch.arange(len(x), device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[n, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def _source(side: int, number: Tensor, most: int) -> Tensor:
    """Per image, which padded row each row comes from."""
    offset = ((2 * most + 1) * number).floor().clamp(max=2 * most).long() - most
    wanted = torch.arange(1, side + 1, device=number.device) - offset[:, None]
    return wanted.clamp(0, side + 1)


def cut_out(x: Images, at: Float[Tensor, "n 2"], *, share: float = 0.5) -> Images:
    """Images with a square of zeros somewhere.

    Source: Zhao et al. 2020, arXiv 2006.10738.

    Args:
        x: Images.
        at: Numbers in [0, 1], where its middle is.
        share: Side of the square, as a share of the image's.
    """
    hidden = [
        (torch.arange(side, device=x.device) + 0.5 - number[:, None] * side).abs()
        < share * side / 2
        for side, number in zip(x.shape[2:], at.T, strict=True)
    ]
    mask = hidden[0][:, :, None] & hidden[1][:, None, :]
    return x.masked_fill(mask[:, None], 0.0)


def recoloured(x: Images, by: Float[Tensor, "n 3"]) -> Images:
    """Images with another brightness, saturation and contrast.

    Source: Zhao et al. 2020, arXiv 2006.10738.

    Args:
        x: Images.
        by: Numbers in [0, 1] for the three; 0.5 changes no brightness and contrast, and a
            saturation of 0.5 neither.
    """
    brightness, saturation, contrast = (each[:, None, None, None] for each in by.T)
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + 2 * saturation * (x - grey)
    middle = x.mean((1, 2, 3), keepdim=True)
    return middle + (contrast + 0.5) * (x - middle)


def at_random(kinds: Sequence[Kind | str]) -> Callable[[Tensor, Tensor | None], Tensor]:
    """A function that changes each image by random numbers of its own.

    Applied to all that a discriminator sees, instances and samples, with a gradient through
    both, it lets a GAN learn from few instances: the discriminator cannot know them by
    heart, and the generator learns no change, since its samples are changed as well.
    Source: Zhao et al. 2020, arXiv 2006.10738, and the authors' code.

    Args:
        kinds: What to do, in this order: `"colour"` (`recoloured`), `"shift"` (`shifted`),
            `"cut"` (`cut_out`).

    Returns:
        From images and numbers in [0, 1], of shape `(n, N_NUMBERS)`, to images; without
        changes, anything as it is.

    Raises:
        GameError: If there is no such change.
    """
    unknown = [kind for kind in kinds if kind not in get_args(Kind)]
    if unknown:
        raise GameError(
            f"There is no change {unknown[0]!r}; there are {list(get_args(Kind))}."
        )

    def changed(x: Tensor, numbers: Tensor | None) -> Tensor:
        if not kinds or numbers is None:
            return x
        if x.dim() != 4:
            raise GameError(
                f"Rows of shape {tuple(x.shape[1:])} are no images of shape (channels, "
                f"height, width), so they cannot be changed by {list(kinds)}."
            )
        by = dict(zip(get_args(Kind), numbers.split((3, 2, 2), 1), strict=True))
        for kind in kinds:
            x = _BY_KIND[kind](x, by[kind])
        return x

    return changed


_BY_KIND = {"colour": recoloured, "shift": shifted, "cut": cut_out}


def policy(name: str) -> tuple[Change, ...]:
    """The changes of a policy, of which the first is none.

    Source: Tran et al. 2021, arXiv 2006.05338, and the authors' code.

    Args:
        name: `"rotation"`: quarter turns; `"fliprot"`: both mirrorings and a quarter turn;
            `"cropping"`: the four corners.

    Returns:
        Functions from images to images of the same shape.

    Raises:
        GameError: If there is no such policy.
    """
    if name not in _POLICIES:
        raise GameError(f"There is no policy {name!r}; there are {list(_POLICIES)}.")
    return _POLICIES[name]


_POLICIES: Mapping[str, tuple[Change, ...]] = {
    "rotation": tuple(lambda x, k=k: turned(x, k) for k in range(4)),
    "fliprot": (
        lambda x: x,
        lambda x: mirrored(x, 2),
        lambda x: mirrored(x, 3),
        lambda x: turned(x, 1),
    ),
    "cropping": (lambda x: x, *(lambda x, i=i: corner(x, i) for i in range(4))),
}
