"""Time series as overlapping windows, and values of windows as values of time stamps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from torch import Tensor

from counterplay.data._measured import GAP
from counterplay.errors import ConfigError, DataError


CHUNK = 1_024  # windows looked at together, which bounds the memory
Bound = tuple[int, int]  # first row, and row after the last


@dataclass(frozen=True)
class Stretches:
    """One or several series, one below the other, and where they are without a gap.

    Attributes:
        values: One row per time stamp, `(n, d)`.
        stamps: What each row is called in outputs and errors.
        bounds: First row and row after the last of each stretch; windows stay inside.
        step: The typical time between rows in nanoseconds, if there are times.
        ends: The times of the first and the last row, if there are times.
    """

    values: NDArray[np.float64]
    stamps: tuple[str, ...]
    bounds: tuple[Bound, ...]
    step: float | None
    ends: tuple[int, int] | None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Cut:
    """Windows of one length.

    Attributes:
        starts: First rows, ascending.
        length: Rows of a window.
    """

    starts: NDArray[np.int64]
    length: int

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows of each window, `(windows, time)`."""
        return self.starts[:, None] + np.arange(self.length)

    def chunks(self) -> Iterator[NDArray[np.int64]]:
        """The rows of a bounded number of windows at a time.

        Yields:
            As `rows`.
        """
        for begin in range(0, len(self.starts), CHUNK):
            yield Cut(self.starts[begin : begin + CHUNK], self.length).rows


def read(
    estimator: BaseEstimator, X: Any, *, reset: bool, step: float | None = None
) -> Stretches:
    """The series that a user gives: an array, a data frame, or a list of these.

    Args:
        estimator: Whose input it is; it learns names and number of the channels at `reset`.
        X: Rows are time stamps. A frame with a `DatetimeIndex` has gaps where two stamps
            are further apart than 1.5 typical steps.
        reset: Whether the estimator is being fitted.
        step: The typical step, if it is known; else the median of the frames' own.

    Returns:
        The series.
    """
    several = isinstance(X, (list, tuple)) and bool(X) and getattr(X[0], "ndim", 0) == 2
    parts: list[Any] = list(X) if several else [X]
    wheres = [f"of series {number} " if several else "" for number in range(len(parts))]
    times = [_times(part, where) for part, where in zip(parts, wheres, strict=True)]
    if reset:
        gaps = [np.diff(t) for t in times if t is not None]
        step = float(np.median(np.concatenate(gaps))) if any(map(len, gaps)) else None
    values, stamps, bounds, begin = [], [], [], 0
    for number, (part, time) in enumerate(zip(parts, times, strict=True)):
        found: Any = validate_data(
            estimator,
            X=part,
            reset=reset and number == 0,
            dtype=np.float64,
            ensure_all_finite=False,
        )
        prefix = f"{number}/" if several else ""
        names = np.arange(len(found)) if time is None else time.astype("datetime64[ns]")
        names = [f"{prefix}{name}" for name in names.astype(str)]
        _require_finite(estimator, found, names)
        breaks = [] if time is None or step is None else np.diff(time) > GAP * step
        edges = [0, *(np.flatnonzero(breaks) + 1), len(found)]
        bounds += [(begin + int(a), begin + int(b)) for a, b in pairwise(edges)]
        values.append(found)
        stamps += names
        begin += len(found)
    first, last = times[0], times[-1]
    ends = None if first is None or last is None else (int(first[0]), int(last[-1]))
    return Stretches(np.concatenate(values), tuple(stamps), tuple(bounds), step, ends)


def cut(bounds: Sequence[Bound], *, window: int, stride: int) -> tuple[Cut, ...]:
    """Windows that cover stretches: every `stride` rows, and one that ends at the end.

    The stride is at most a window, so that no row is left out. A stretch shorter than a
    window is one window of its own length.
    """
    starts: dict[int, list[int]] = {}
    for begin, end in bounds:
        length = min(window, end - begin)
        regular = range(begin, end - length + 1, min(stride, window))
        last = [] if regular[-1] == end - length else [end - length]
        starts.setdefault(length, []).extend([*regular, *last])
    return tuple(
        Cut(np.array(found, dtype=np.int64), length) for length, found in starts.items()
    )


def add(sums: Tensor, counts: Tensor, rows: NDArray[np.int64], values: Tensor) -> None:
    """Add what windows measure to the rows that they cover, in place.

    Args:
        sums: One row per row of the series; differentiable in `values`.
        counts: How many windows have been added to each row.
        rows: Rows that each window covers, `(windows, time)`.
        values: What it measures there, `(windows, time, columns)`.
    """
    index = torch.from_numpy(rows.reshape(-1)).to(sums.device)
    sums.index_add_(0, index, values.flatten(0, 1))
    counts.index_add_(0, index, counts.new_ones(len(index)))


def parted(
    bounds: Sequence[Bound], *, window: int, share: float
) -> tuple[list[Bound], list[Bound]]:
    """Stretches to learn from, and a share of each, at its end, that is held out.

    At least a window is held out, from stretches that then still have one.
    """
    known, held_out = [], []
    for begin, end in bounds:
        n = max(window, round(share * (end - begin)))
        if end - begin - n >= window:
            held_out.append((end - n, end))
            end -= n
        if end - begin >= window:
            known.append((begin, end))
    return known, held_out


def require_window(stretches: Stretches, window: int, *, spare: int = 0) -> None:
    """Refuse series of which no stretch holds a window and some rows to spare.

    Raises:
        DataError: If none does.
    """
    longest = max(end - begin for begin, end in stretches.bounds)
    if longest < window + spare:
        more = f" and {spare} more" if spare else ""
        raise DataError(
            "The longest stretch without a gap is too short for a `window` of "
            f"{window} rows{more}: n_samples = {longest}. Give a longer series, or use a "
            "shorter window."
        )


def require_numbers(**at_least_one: int) -> None:
    """Refuse options below 1.

    Raises:
        ConfigError: If one is.
    """
    for name, number in at_least_one.items():
        if number < 1:
            raise ConfigError(f"`{name}` must be at least 1, got {number!r}.")


def require_shares(**shares: float) -> None:
    """Refuse options outside [0, 1].

    Raises:
        ConfigError: If one is.
    """
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"`{name}` is a share and must be in [0, 1], got {share!r}.")


def _times(part: Any, where: str) -> NDArray[np.int64] | None:
    """Nanoseconds of the time stamps of a frame, if it has any.

    Raises:
        DataError: If they are not ascending.
    """
    index = getattr(part, "index", None)
    if type(index).__name__ != "DatetimeIndex":
        return None
    stamps = np.asarray(index, dtype="datetime64[ns]")
    if np.isnat(stamps).any():
        row = int(np.isnat(stamps).argmax())
        raise DataError(
            f"The time stamp {where}at row {row} is missing (NaT). Drop the row."
        )
    steps = np.diff(stamps.astype(np.int64))
    if (steps <= 0).any():
        row = int((steps <= 0).argmax()) + 1
        what = "twice" if steps[row - 1] == 0 else f"after {stamps[row - 1]}"
        raise DataError(
            f"The time stamp {stamps[row]} {where}comes {what}, at row {row}; windows need "
            "ascending time stamps, each once. Sort the frame by `sort_index()`, and keep "
            "one of each by `X[~X.index.duplicated()]`."
        )
    return stamps.astype(np.int64)


def _require_finite(
    estimator: BaseEstimator, values: NDArray[np.float64], stamps: Sequence[str]
) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: If there is one; it names the first.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        names = getattr(estimator, "feature_names_in_", None)
        channel = column if names is None else repr(str(names[column]))
        what = "NaN" if np.isnan(values[row, column]) else "inf"
        raise DataError(
            f"Input X contains {what} at stamp {stamps[row]}, channel {channel}. "
            "Interpolate it, or leave the rows out, which makes a gap in a frame with a "
            "DatetimeIndex."
        )
