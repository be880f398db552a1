"""Stacked-MNIST: three digits in one image, a test for lost modes with 1,000 of them."""

from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from counterplay import _rng
from counterplay.data._arrays import existing
from counterplay.data.mnist import mnist
from counterplay.data.npz import npz
from counterplay.data.splits import PARTS, Splits
from counterplay.errors import DataError
from counterplay.game import Columns


def stacked_mnist(
    path: str | Path,
    *,
    n_train: int = 20_000,
    n_valid: int = 5_000,
    n_test: int = 5_000,
    seed: int = 0,
) -> Splits:
    """Images whose red, green and blue are digits drawn at random from a set of digits.

    Source: Metz et al. 2017, arXiv 1611.02163; Lin et al. 2018, arXiv 1712.04086, who take
    128,000 training images (1.2 GB as float32).

    Args:
        path: A folder that `mnist` reads or a file that `npz` reads: images of one channel
            with labels from 0 to 9.
        n_train: Images to learn from.
        n_valid: Images to choose by.
        n_test: Images to prove with.
        seed: Determines which digits go to which part, and the draws.

    Returns:
        Columns `"x"` of shape `(n, 3, height, width)` and `"y"`, 100 a + 10 b + c for the
        digits a, b, c. No digit is in two parts. Ids tell number, label and the rows of
        the source, such as `train/00007/504: train/00042+train/00003+train/00815`.

    Raises:
        DataError: If a part would be empty, or the source does not hold labelled digits.
    """
    source = existing(path, "folder or file")
    digits = (mnist if source.is_dir() else npz)(source, seed=seed)
    parts = {}
    for part, n in zip(PARTS, (n_train, n_valid, n_test), strict=True):
        if n < 1:
            raise DataError(f"`n_{part}` must be at least 1, got {n}.")
        pool = _checked(getattr(digits, part), source)
        draws = _rng.generator(seed, "stacked_mnist", part)
        rows = torch.randint(len(pool), (n, 3), generator=draws)
        parts[part] = _stacked(pool, rows, part)
    return Splits(**parts, name=f"stacked_{digits.name}")


def _stacked(pool: Columns, rows: Int[Tensor, "n 3"], part: str) -> Columns:
    y = pool["y"][rows] @ torch.tensor([100, 10, 1])
    names = [[pool.ids[row] for row in three] for three in rows.tolist()]
    return Columns(
        {"x": pool["x"][rows].squeeze(2), "y": y},
        ids=tuple(
            f"{part}/{i:05d}/{label:03d}: {'+'.join(three)}"
            for i, (label, three) in enumerate(zip(y.tolist(), names, strict=True))
        ),
        kind="image",
        class_names=tuple(f"{label:03d}" for label in range(1_000)),
    )


def _checked(digits: Columns, source: Path) -> Columns:
    """The digits, if they are.

    Raises:
        DataError: If they are not images of one channel with labels from 0 to 9.
    """
    x, y = digits["x"], digits.tensors.get("y")
    if x.dim() != 4 or x.shape[1] != 1:
        raise DataError(
            f"{str(source)!r} holds instances of shape {tuple(x.shape[1:])}, but images of "
            "one channel are stacked. Check `path`."
        )
    if y is None or y.is_floating_point() or y.min() < 0 or y.max() > 9:
        found = "no labels" if y is None else f"labels from {y.min():g} to {y.max():g}"
        raise DataError(
            f"{str(source)!r} has {found}, but each digit needs one, an integer from 0 to "
            "9: which mode an image belongs to follows from them."
        )
    return digits
