"""Measurements as they are in a file: numbers, who the rows are, and their labels."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from counterplay.data._arrays import existing
from counterplay.data._tables import read_table
from counterplay.errors import DataError


GAP = 1.5  # typical steps between two time stamps begin a gap


@dataclass(frozen=True)
class Measured:
    """Rows of numbers from a file.

    Attributes:
        file: Where they are from.
        names: One name per column.
        values: The numbers.
        ids: What each row is called: its id, its time, or its number from 0.
        labels: 1 for an outlier, 0 for a normal row, if that is known.
        times: Nanoseconds, or whatever unit a column of numbers has, if rows have times.
    """

    file: str
    names: tuple[str, ...]
    values: Float64[np.ndarray, "n d"]
    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " n"] | None = None
    times: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of every name, id and value, but not of the labels."""
        names = "\0".join((*self.names, "", *self.ids))
        digest = hashlib.blake2b(names.encode(), digest_size=12)
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()

    @property
    def steps(self) -> NDArray[Any]:
        """The times between rows; none without times."""
        return np.diff([] if self.times is None else self.times)

    def stretches(self, step: float | None) -> list[NDArray[np.float64]]:
        """The values from gap to gap; a gap is longer than 1.5 typical steps."""
        if self.times is None or step is None:
            return [self.values]
        return np.split(self.values, np.flatnonzero(np.diff(self.times) > GAP * step) + 1)


def read(
    path: str | Path,
    *,
    label: str | None = None,
    id_column: str | None = None,
    time: str | None = None,
    drop: Sequence[str] = (),
    ignore: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> Measured:
    """Read the rows of a CSV, TSV or Parquet file.

    Args:
        path: The file.
        label: Column of 1 for an outlier and 0 for a normal row; it is no measurement.
        id_column: Column that names the rows.
        time: Column of times, in ascending order.
        drop: Columns to leave out.
        ignore: Columns to leave out if they are there.
        names: The columns that there must be; they are brought into this order.

    Returns:
        The rows.

    Raises:
        DataError: If the file cannot be read, or is not what it must be.
    """
    file = existing(path, "file")
    rows = read_table(file)
    given = rows.column_names
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise DataError(f"{str(file)!r} has several columns {twice[0]!r}; rename them.")
    special = [name for name in (label, id_column, time) if name is not None]
    for name in (*special, *drop):
        if name not in given:
            raise DataError(f"{str(file)!r} has no column {name!r}; there are {given}.")
    found = [name for name in given if name not in (*special, *drop, *ignore)]
    if names is not None:
        _require_names(file, found, names)
        found = list(names)
    if not found or not len(rows):
        raise DataError(
            f"{str(file)!r} has {len(rows)} rows and the measured columns {found}; at "
            "least one of each is needed."
        )
    numbers = np.empty((len(rows), len(found)))
    for i, name in enumerate(found):
        numbers[:, i] = _finite(name, _numbers(name, rows[name]))
    times, ids = _times(time, rows), _ids(id_column, rows)
    if time is not None and id_column is None:
        ids = tuple(str(one) for one in rows[time].to_pylist())
    labels = None if label is None else _labels(label, rows[label])
    return Measured(str(path), tuple(found), numbers, ids, labels, times)


def _require_names(file: Path, found: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in found]
    further = [name for name in found if name not in names]
    if missing or further:
        raise DataError(
            f"{str(file)!r} does not have the columns that the detector was fitted to: "
            f"missing are {missing}, unknown are {further}. Rename or add columns; leave "
            "unknown ones out with `drop`."
        )


def _numbers(name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_null(kind):
        column = column.cast(pa.float64())
    elif not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    ):
        example = next((str(one) for one in column.to_pylist() if one is not None), "")
        raise DataError(
            f"Column {name!r} holds {kind}, such as {example!r}, where detectors read "
            f"numbers. Turn it into numbers, or leave it out with `drop`."
        )
    return column.cast(pa.float64(), safe=False).to_numpy()


def _finite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    where = np.flatnonzero(~np.isfinite(values))  # a missing value is NaN by now
    if len(where):
        more = f" and in {len(where) - 1} more rows" if len(where) > 1 else ""
        raise DataError(
            f"Column {name!r} has no finite value in row {where[0]} (the first is 0)"
            f"{more}. Fill the values in, delete the rows, or leave the column out with "
            "`drop`."
        )
    return values


def _labels(name: str, column: pa.ChunkedArray) -> NDArray[np.int64]:
    values = _finite(name, _numbers(name, column))
    wrong = np.flatnonzero(~np.isin(values, (0, 1)))
    if len(wrong):
        raise DataError(
            f"The label {name!r} is {values[wrong[0]]:g} in row {wrong[0]} (the first is "
            "0), but must be 1 for an outlier and 0 for a normal row."
        )
    return values.astype(np.int64)


def _ids(name: str | None, rows: pa.Table) -> tuple[str, ...]:
    if name is None:
        return tuple(map(str, range(len(rows))))
    ids = tuple(map(str, rows[name].to_pylist()))
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(one for one in ids if one in seen or seen.add(one))
        raise DataError(
            f"The id {twice!r} of column {name!r} names several rows, so results could not "
            "be told apart. Make ids unique, or leave `id_column` out."
        )
    return ids


def _times(name: str | None, rows: pa.Table) -> NDArray[Any] | None:
    """Nanoseconds or numbers, which must ascend.

    Raises:
        DataError: If they do not.
    """
    if name is None:
        return None
    column = rows[name]
    if pa.types.is_temporal(column.type) and not column.null_count:
        stamps = column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
    else:
        stamps = _finite(name, _numbers(name, column))
    wrong = np.flatnonzero(np.diff(stamps) <= 0)
    if len(wrong):
        row = int(wrong[0]) + 1
        before, after = (str(column[i].as_py()) for i in (row - 1, row))
        raise DataError(
            f"The time {after!r} in row {row} (the first is 0) comes after {before!r}; "
            "windows need ascending times, each once. Sort the file by "
            f"{name!r}, and keep one row of each."
        )
    return stamps
