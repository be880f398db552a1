"""Arrays that NumPy saved."""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch.nn import functional

from counterplay.data._arrays import columns_of, existing
from counterplay.data.splits import complete, Splits
from counterplay.errors import DataError
from counterplay.game import Columns


_NAMES = {"train": ("x", "x_train"), "valid": ("x_valid", "x_val"), "test": ("x_test",)}


def npz(
    path: str | Path,
    *,
    n_train: int | None = None,
    n_valid: int | None = None,
    n_test: int | None = None,
    pad: int = 0,
    seed: int = 0,
) -> Splits:
    """Images or rows in an `.npz` file.

    Reads the arrays `x` or `x_train`, and if they are there `x_valid`, `x_test` and the
    labels `y`, `y_train`, `y_valid`, `y_test`; capital letters do not matter. Missing parts
    are cut from the training array. Images are `(n, height, width)` with or without one or
    three channels, first or last: bytes are scaled to [-1, 1], floats must be in it. Rows
    `(n, d)` stay as they are.

    Args:
        path: The file.
        n_train: Instances to learn from; default all that the other parts leave.
        n_valid: Instances to choose by; default all of `x_valid`, or a fifth of the rest.
        n_test: Instances to prove with; default all of `x_test`, or a fifth of the rest.
        pad: Black pixels to add on every side of an image.
        seed: Determines who is in which part; labels keep their shares.

    Returns:
        Columns `"x"` and, with labels, `"y"`; ids tell array and row, such as
        `x_train/00042`.

    Raises:
        DataError: If the file cannot be read or has too few instances, or if rows are to
            be padded.
    """
    file = existing(path, "file")
    arrays = _read(file)
    parts = {}
    for part, names in _NAMES.items():
        name = next((name for name in names if name in arrays), None)
        parts[part] = None if name is None else _padded(_part(arrays, name), pad)
    train = parts["train"]
    if train is None:
        raise DataError(
            f"{str(file)!r} holds the arrays {sorted(arrays)}, but 'x' or 'x_train' is "
            "needed. Save it with `numpy.savez(path, x=..., y=...)`."
        )
    return complete(
        train,
        parts["valid"],
        parts["test"],
        name=file.stem,
        sizes=(n_train, n_valid, n_test),
        seed=seed,
    )


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name.lower(): arrays[name] for name in arrays.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{str(file)!r} is not an .npz file of plain arrays ({error}). Save it with "
            "`numpy.savez`; arrays of Python objects are not read."
        ) from error


def _part(arrays: dict[str, np.ndarray], name: str) -> Columns:
    x, y = arrays[name], arrays.get(name.replace("x", "y", 1))
    if y is not None and len(x) != len(y):
        raise DataError(
            f"{name!r} has {len(x)} instances, but there are {len(y)} labels for it. Every "
            "instance needs one."
        )
    return columns_of(x, y, prefix=name)


def _padded(columns: Columns, pad: int) -> Columns:
    if not pad:
        return columns
    if columns.kind != "image" or pad < 0:
        raise DataError(
            f"`pad` is {pad}, but it adds pixels, at least 0, to images; these instances "
            f"are of kind {columns.kind!r}. Leave it out."
        )
    x = functional.pad(columns["x"], [pad] * 4, value=-1.0)
    return replace(columns, tensors={**columns.tensors, "x": x})
