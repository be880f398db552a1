"""MNIST and everything in its file format: Fashion-MNIST, KMNIST, EMNIST, own images."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from counterplay.data._arrays import columns_of, existing
from counterplay.data.splits import complete, Splits
from counterplay.errors import DataError
from counterplay.game import Columns


_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def mnist(
    path: str | Path,
    *,
    n_train: int | None = None,
    n_valid: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> Splits:
    """Images in a folder of idx files, in [-1, 1].

    Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, plain or with `.gz`. Labels may be absent. The test part comes
    from the `t10k` files if they are there, the validation part from the `train` files.

    Source: LeCun, Cortes and Burges 1998, the MNIST database (file format).

    Args:
        path: The folder.
        n_train: Instances to learn from; default all that the other parts leave.
        n_valid: Instances to choose by; default a fifth of the `train` files.
        n_test: Instances to prove with; default all of the `t10k` files.
        seed: Determines who is in which part; labels keep their shares.

    Returns:
        Columns `"x"` of shape `(n, 1, 28, 28)` and `"y"`; ids tell file and row, such as
        `train/00042`.

    Raises:
        DataError: If a file is missing or damaged, or has too few instances.
    """
    folder = existing(path, "folder")
    train = _part(folder, "train", "train")
    if train is None:
        raise DataError(
            f"The folder {str(folder)!r} has no 'train-images-idx3-ubyte' or "
            "'train-images-idx3-ubyte.gz'. Check `path`, or use 'image_folder' or 'npz'."
        )
    return complete(
        train,
        test=_part(folder, "t10k", "test"),
        name=folder.resolve().name,
        sizes=(n_train, n_valid, n_test),
        seed=seed,
    )


def _part(folder: Path, prefix: str, part: str) -> Columns | None:
    images = _file(folder, f"{prefix}-images", "idx3-ubyte")
    labels = _file(folder, f"{prefix}-labels", "idx1-ubyte")
    if images is None:
        return None
    x, y = _read_idx(images), None
    if labels is not None:
        y = _read_idx(labels)
        if len(x) != len(y):
            raise DataError(
                f"{images.name!r} holds {len(x)} images, but {labels.name!r} {len(y)} "
                "labels. They belong to different sets; fetch both again."
            )
    return columns_of(x, y, prefix=part)


def _file(folder: Path, stem: str, kind: str) -> Path | None:
    """The file under one of the names it goes by, if any."""
    candidates = [folder / f"{stem}{dot}{kind}{gz}" for dot in "-." for gz in ("", ".gz")]
    return next((file for file in candidates if file.is_file()), None)


def _read_idx(file: Path) -> np.ndarray:
    content = file.read_bytes()
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        zero, code, n_axes = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{n_axes}I", content[4 : 4 + 4 * n_axes])
        values = np.frombuffer(content, _DTYPES[code], math.prod(shape), 4 + 4 * n_axes)
    except (OSError, EOFError, struct.error, KeyError, ValueError) as error:
        raise DataError(
            f"{str(file)!r} is not a whole idx file ({error}). Fetch it again."
        ) from error
    if zero:
        raise DataError(f"{str(file)!r} does not begin like an idx file. Fetch it again.")
    return values.reshape(shape).astype(values.dtype.newbyteorder("="))
