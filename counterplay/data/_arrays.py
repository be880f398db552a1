"""From arrays in files to columns: what readers of several formats share."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from counterplay.errors import DataError
from counterplay.game import Columns


def existing(path: str | Path, what: str) -> Path:
    """The path, if there is something there.

    Raises:
        DataError: If there is nothing.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"There is no {what} at {str(path)!r}. Check `path`.")
    return path


def to_pixels(array: np.ndarray) -> Tensor:
    """Images of bytes, channels first, as float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(array)).float() / 127.5 - 1


def channels_first(array: np.ndarray) -> np.ndarray:
    """Images as `(n, channels, height, width)`, from any of the usual orders."""
    if array.ndim == 3:
        return array[:, None]
    if array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        return array.transpose(0, 3, 1, 2)
    return array


def columns_of(x: np.ndarray, y: np.ndarray | None, *, prefix: str) -> Columns:
    """Columns of an array of images (3 or 4 axes) or rows (2 axes), and labels.

    Raises:
        DataError: If an image of floats is not in [-1, 1], or the array holds no instances.
    """
    if x.ndim not in (2, 3, 4) or x.dtype.kind not in "uifb":
        raise DataError(
            f"The array {prefix!r} has shape {x.shape} and type {x.dtype}; "
            "instances are rows (n, d) or images (n, height, width[, channels]) of numbers."
        )
    image = x.ndim > 2
    tensor = _images(x, prefix) if image else torch.from_numpy(x.astype(np.float32))
    tensors = {"x": tensor}
    class_names: tuple[str, ...] = ()
    if y is not None:
        tensors["y"], class_names = labels_of(y)
    ids = tuple(f"{prefix}/{i:05d}" for i in range(len(x)))
    return Columns(tensors, ids, kind="image" if image else "row", class_names=class_names)


def _images(x: np.ndarray, prefix: str) -> Tensor:
    x = channels_first(x)
    if x.dtype == np.uint8:
        return to_pixels(x)
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    if low < -1 or high > 1:
        raise DataError(
            f"The images of {prefix!r} are {x.dtype} from {low:g} to {high:g}, but a "
            "generator makes values in [-1, 1]. Store bytes (uint8, 0 to 255), or rescale."
        )
    return torch.from_numpy(x.astype(np.float32))


def labels_of(y: np.ndarray) -> tuple[Tensor, tuple[str, ...]]:
    """Text as integer labels and their names; numbers as they are, without names.

    Raises:
        DataError: If there is more than one label per instance.
    """
    if y.size != len(y):
        raise DataError(f"Labels have shape {y.shape}; give one per instance, shape (n,).")
    y = y.reshape(-1)
    if y.dtype.kind in "US":
        class_names, y = np.unique(y.astype(str), return_inverse=True)
        return torch.from_numpy(y), tuple(str(name) for name in class_names)
    kind = np.float32 if y.dtype.kind == "f" else np.int64
    return torch.from_numpy(y.astype(kind)), ()
