"""Data of which only some instances have a label."""

from dataclasses import replace

import torch

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.game import Columns


def partly_labelled(columns: Columns, n: int, *, seed: int = 0) -> Columns:
    """Take away all labels but `n`, which are spread evenly over the classes.

    Classes have equal numbers of them, or one more; a class that is too small for its part
    keeps all of its own.

    Args:
        columns: Instances with labels, column `"y"`; usually `splits.train`.
        n: Labels to keep.
        seed: Determines which.

    Returns:
        The same instances, where `"y"` is -1 for those without a label.

    Raises:
        DataError: If there are no labels, or not from one per class up to all of them.

    Example:
        >>> y = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> all_of_them = Columns({"x": torch.randn(6, 2), "y": y}, tuple("abcdef"))
        >>> partly_labelled(all_of_them, 2)["y"].sort().values
        tensor([-1, -1, -1, -1,  0,  1])
    """
    y = columns.tensors.get("y")
    if y is None or y.is_floating_point():
        raise DataError(
            f"`labelled` keeps {n} labels, but the data has the columns "
            f"{sorted(columns.tensors)} and no label `y`. Name its label column, or leave "
            "the option out."
        )
    order = _rng.permutation(len(columns), seed, "labelled")
    order = order[y[order] != -1]
    classes = y[order].unique()
    if not isinstance(n, int) or not len(classes) <= n <= len(order):
        raise DataError(
            f"`labelled` must be from {len(classes)}, one label per class, to the "
            f"{len(order)} there are, got {n!r}."
        )
    # How many of its class come before an instance; who comes early in each is kept.
    rank = torch.empty(len(order), dtype=torch.int64)
    for label in classes:
        mine = y[order] == label
        rank[mine] = torch.arange(int(mine.sum()))
    kept = order[rank.argsort(stable=True)[:n]]
    some = torch.full_like(y, -1)
    some[kept] = y[kept]
    return replace(columns, tensors={**columns.tensors, "y": some})
