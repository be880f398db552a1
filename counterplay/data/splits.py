"""Training, validation and test instances that have nothing in common.

Influence is measured on held-out data and proven on other held-out data; an instance in two
parts would make both worthless, so `Splits` refuses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations, pairwise
from typing import get_args, Literal, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterplay import _rng
from counterplay.errors import ConfigError, DataError
from counterplay.game import Columns


PARTS: tuple[str, ...] = ("train", "valid", "test")
Dtype = Literal["float32", "float64"]


@dataclass(frozen=True)
class Scaling:
    """How the rows of `"x"` were made from measured values.

    Attributes:
        names: One name per entry of a row.
        mean: What was subtracted, in the unit of the measurement.
        std: What was divided by.
    """

    names: tuple[str, ...]
    mean: Float[Tensor, " d"]
    std: Float[Tensor, " d"]

    def apply(self, values: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """From measured values to rows."""
        return (values - self.mean) / self.std

    def undo(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """From rows, real or generated, to measured values."""
        return x * self.std + self.mean


@dataclass(frozen=True)
class Splits:
    """The instances to learn from, to choose by, and to prove with.

    Attributes:
        train: What the game is played on, and whose influence is traced.
        valid: What the metric compares with while instances are chosen.
        test: What the gain is proven on.
        name: Name of the data set.
        scaling: How to get measured values back, for tables.
    """

    train: Columns
    valid: Columns
    test: Columns
    name: str
    scaling: Scaling | None = None

    def __post_init__(self):
        ids = {part: set(getattr(self, part).ids) for part in PARTS}
        for part in PARTS:
            columns = getattr(self, part)
            if not len(columns):
                raise DataError(
                    f"The {part} part of {self.name!r} is empty; give it instances."
                )
            if len(ids[part]) < len(columns):
                twice = next(i for i in columns.ids if columns.ids.count(i) > 1)
                raise DataError(
                    f"The {part} part of {self.name!r} has the id {twice!r} more than "
                    "once. An id must name one instance, or results cannot be read; make "
                    "ids unique."
                )
        for one, other in combinations(PARTS, 2):
            shared = sorted(ids[one] & ids[other])
            if shared:
                raise DataError(
                    f"The {one} and {other} parts of {self.name!r} share {len(shared)} "
                    f"instances, {shared[0]!r} for one. A gain on data that was trained on "
                    "or chosen by proves nothing; give each instance to one part."
                )

    def in_dtype(self, dtype: Dtype) -> Self:
        """The same instances, floating columns in another dtype; networks follow it.

        Raises:
            ConfigError: If there is no such dtype.
        """
        if dtype not in get_args(Dtype):
            raise ConfigError(
                f"There is no `dtype` {dtype!r} of data; there are "
                f"{list(get_args(Dtype))}. Fewer bits are for moves: see `play.precision`."
            )
        wanted = getattr(torch, dtype)
        parts = {part: getattr(self, part).to(dtype=wanted) for part in PARTS}
        return replace(self, **parts)


def split(
    columns: Columns,
    *,
    fractions: Sequence[float] | None = None,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
    stratified: bool = False,
    name: str = "data",
) -> Splits:
    """Divide instances into three parts at random.

    Args:
        columns: All instances.
        fractions: Shares of training, validation and test, at most 1 together; default 0.6,
            0.2, 0.2.
        sizes: Numbers of instances instead; what is left over is not used.
        seed: Determines who goes where.
        stratified: Give each label of column `"y"` the same shares.
        name: Name of the data set.

    Returns:
        The parts, each in the order of `columns`.

    Raises:
        DataError: If the parts need more instances than there are, or one would be empty.

    Example:
        >>> everyone = Columns({"x": torch.randn(10, 2)}, tuple("abcdefghij"))
        >>> len(split(everyone, sizes=(6, 3, 1)).train)
        6
    """
    if sizes is None:
        sizes = _shares(len(columns), (0.6, 0.2, 0.2) if fractions is None else fractions)
    elif fractions is not None:
        raise DataError(f"Give `fractions` or `sizes`, not both: {fractions!r}, {sizes!r}.")
    labels = columns["y"] if stratified else None
    parts = _cut(columns, dict(zip(PARTS, sizes, strict=True)), labels, seed)
    return Splits(parts["train"], parts["valid"], parts["test"], name)


def complete(
    train: Columns,
    valid: Columns | None = None,
    test: Columns | None = None,
    *,
    name: str,
    sizes: Sequence[int | None] = (None, None, None),
    seed: int = 0,
) -> Splits:
    """Keep the parts that a data set comes with, and cut the missing ones from `train`.

    A missing part without a size takes a fifth of `train`. Of a part that is larger than
    its size, a subset is drawn. Labels keep their shares.
    """
    given = {part: c for part, c in (("valid", valid), ("test", test)) if c is not None}
    wanted = dict(zip(PARTS, sizes, strict=True))
    fifth = round(len(train) / 5)
    cut = {p: _default(wanted[p], fifth) for p in ("valid", "test") if p not in given}
    cut["train"] = _default(wanted["train"], max(len(train) - sum(cut.values()), 0))
    parts = _cut(train, cut, _labels(train), seed)
    for part, columns in given.items():
        size = _default(wanted[part], len(columns))
        parts |= _cut(columns, {part: size}, _labels(columns), seed)
    return Splits(parts["train"], parts["valid"], parts["test"], name)


def _default(size: int | None, default: int) -> int:
    return default if size is None else size


def _labels(columns: Columns) -> Tensor | None:
    y = columns.tensors.get("y")
    return None if y is None or y.is_floating_point() else y


def _shares(n: int, fractions: Sequence[float]) -> list[int]:
    if min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
        raise DataError(
            f"`fractions` must be positive and at most 1 together, got {fractions!r}."
        )
    ends = [0, *(round(n * total) for total in accumulate(fractions))]
    return [end - start for start, end in pairwise(ends)]


def _cut(
    columns: Columns, sizes: Mapping[str, int], labels: Tensor | None, seed: int
) -> dict[str, Columns]:
    _check_sizes(len(columns), sizes)
    order = _order(len(columns), labels, seed)[: sum(sizes.values())]
    rows = order.split(list(sizes.values()))
    return {
        part: columns.select(index.sort().values)
        for part, index in zip(sizes, rows, strict=True)
    }


def _check_sizes(n: int, sizes: Mapping[str, int]) -> None:
    listed = ", ".join(f"{size} for {part}" for part, size in sizes.items())
    if min(sizes.values()) < 1:
        raise DataError(
            f"Every part needs at least one instance, but of {n} the split takes {listed}. "
            "Use more instances or larger parts."
        )
    if sum(sizes.values()) > n:
        raise DataError(
            f"There are {n} instances, but the split takes {sum(sizes.values())}: "
            f"{listed}. Make the parts smaller."
        )


def _order(n: int, labels: Tensor | None, seed: int) -> Int[Tensor, " n"]:
    """A random order; with labels, every stretch of it has them in their shares."""
    order = _rng.permutation(n, seed, "split")
    if labels is None:
        return order
    labels = labels[order]
    draws = _rng.generator(seed, "split", "strata")
    position = torch.empty(n, dtype=torch.float64)
    for label in labels.unique():
        mine = (labels == label).nonzero().squeeze(1)
        offset = torch.rand((), generator=draws)  # a label with one instance goes anywhere
        position[mine] = (torch.arange(len(mine)) + offset.double()) / len(mine)
    return order[position.argsort(stable=True)]
