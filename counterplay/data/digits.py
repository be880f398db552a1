"""Handwritten digits, 8 x 8 pixels, that come with scikit-learn."""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from counterplay.data.splits import split, Splits
from counterplay.errors import DataError
from counterplay.game import Columns


def digits(*, seed: int = 0, size: int = 8) -> Splits:
    """1,797 handwritten digits in [-1, 1], 60 % to train, 20 % to validate, 20 % to test.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, test part
    (UCI machine learning repository).

    Args:
        seed: Determines who is in which part; labels keep their shares.
        size: Side of the image, 8 or more; above 8 by bilinear interpolation.

    Returns:
        Columns `"x"` of shape `(n, 1, size, size)` and `"y"`, the digit.

    Raises:
        DataError: If `size` is below 8.
    """
    if size < 8:
        raise DataError(
            f"`size` must be at least 8, the side of the originals, got {size}."
        )
    pixels, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(pixels).float().reshape(-1, 1, 8, 8) / 8 - 1  # 0 ... 16 -> -1 ... 1
    if size > 8:
        x = interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    everyone = Columns(
        {"x": x, "y": torch.as_tensor(labels).long()},
        ids=tuple(f"digits/{i:04d}" for i in range(len(x))),
        kind="image",
        class_names=tuple("0123456789"),
    )
    return split(everyone, seed=seed, stratified=True, name="digits")
