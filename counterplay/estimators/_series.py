"""What detectors of faults in series have in common: windows in, scores of stamps out."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from counterplay.data._measured import GAP
from counterplay.errors import ConfigError, DataError
from counterplay.estimators._pot import peaks_over_threshold
from counterplay.estimators._scaling import of_channels, scaled, Scaling
from counterplay.estimators._scorer import AbstractScorer
from counterplay.estimators._windows import (
    Cut,
    cut,
    read,
    require_window,
    Stretches,
)


THRESHOLDS = ("quantile", "pot")
Piece = tuple[tuple[str, ...], np.ndarray]  # names of rows and what is measured there


@dataclass(frozen=True)
class SeriesScores:
    """Scores of time stamps, and what they consist of; high for outlying.

    Attributes:
        stamps: What the rows are called.
        channels: What the columns of the series are called.
        total: The detector's score, `(n,)`.
        parts: What it is mixed of, each `(n,)`: `"reconstruction"`, and `"discrimination"`
            for a detector that has a discriminator.
        residuals: How far each channel is from its reconstruction, in units of half its
            training range, `(n, d)`.
    """

    stamps: tuple[str, ...]
    channels: tuple[str, ...]
    total: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]
    residuals: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.stamps)


class AbstractSeriesDetector(AbstractScorer):
    """A score per time stamp from overlapping windows.

    A subclass says what its windows measure; everything measured at a stamp is averaged
    over the windows that cover it. Columns of what is measured: the parts, then one
    residual per channel.

    Attributes:
        scaling_: From channels to what is read, by the training series alone.
        step_: Typical time between training rows in nanoseconds, if they had times.
    """

    PARTS: tuple[str, ...]
    window: int
    stride: int
    threshold: str
    n_features_in_: int
    scaling_: Scaling
    step_: float | None

    @abstractmethod
    def _measure(
        self, values: NDArray[np.float64], cuts: Sequence[Cut]
    ) -> tuple[Tensor, Tensor]:
        """Sums over windows of what they measure at each row, and how many they are."""

    @abstractmethod
    def _mix(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The total score from the parts, one row per stamp."""

    def outlier_scores(self, X: Any) -> NDArray[np.float64]:
        """The score of each time stamp, high for outlying.

        Args:
            X: A series, or a list of them; the scores are in their order.

        Returns:
            One score per row.
        """
        return self.scores(X).total

    def scores(self, X: Any) -> SeriesScores:
        """The score of each time stamp, its parts, and the channels that explain it.

        Args:
            X: A series, or a list of them.

        Returns:
            The scores.
        """
        return self._scores_of(self._read(X))

    def stream(self) -> "Stream":
        """What scores a series that arrives piece by piece, in the memory of a window."""
        check_is_fitted(self)
        return Stream(self, self._measure, self._as_scores)

    def _read(self, X: Any) -> Stretches:
        check_is_fitted(self)
        series = read(self, X, reset=False, step=self.step_)
        require_window(series, self.window)
        return series

    def _scores_of(self, series: Stretches) -> SeriesScores:
        cuts = cut(series.bounds, window=self.window, stride=self.stride)
        sums, counts = self._measure(series.values, cuts)
        return self._as_scores(series.stamps, (sums / counts[:, None]).numpy())

    def _as_scores(
        self, stamps: tuple[str, ...], measured: NDArray[np.float64]
    ) -> SeriesScores:
        n_parts = len(self.PARTS)
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        return SeriesScores(
            stamps=stamps,
            channels=tuple(map(str, names)),
            total=self._mix(measured[:, :n_parts]),
            parts=dict(zip(self.PARTS, measured[:, :n_parts].T, strict=True)),
            residuals=measured[:, n_parts:],
        )

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return scaled(self.scaling_, values)

    def _of_channels(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.abs(of_channels(self.scaling_, errors))

    def _threshold_of(self, scores: NDArray[np.float64]) -> float:
        """The score above which a stamp is called an outlier."""
        if self.threshold == "pot":
            return peaks_over_threshold(scores, self.contamination)
        return float(np.quantile(scores, 1 - self.contamination))

    def _require_threshold(self) -> None:
        """Refuse a threshold that there is not.

        Raises:
            ConfigError: If there is no such.
        """
        if self.threshold not in THRESHOLDS:
            raise ConfigError(
                f"There is no threshold {self.threshold!r}; there are {list(THRESHOLDS)}."
            )


class Stream:
    """Scores rows as they come; `push` returns those whose score will not change any more.

    All scores together are those of the whole series at once. A row's score is final when
    more than `window` rows have come after it, or at a gap, or by `finish`. Kept are the
    last `window` rows and what has been measured there.
    """

    def __init__(
        self,
        detector: AbstractSeriesDetector,
        measure: Callable[[NDArray[np.float64], Sequence[Cut]], tuple[Tensor, Tensor]],
        as_scores: Callable[[tuple[str, ...], NDArray[np.float64]], SeriesScores],
    ):
        self._detector, self._measure, self._as_scores = detector, measure, as_scores
        self._n_seen = 0  # rows, which name those without a time
        self._last: int | None = None  # time of the newest row
        self._begin()

    def push(self, rows: Any) -> SeriesScores:
        """Take the next rows of the series.

        Args:
            rows: An array `(rows, d)` or a frame.

        Returns:
            The scores that became final, which may be none.

        Raises:
            DataError: If they do not come after the rows before.
        """
        found = read(self._detector, rows, reset=False, step=self._detector.step_)
        final = [self._close()] if self._at_gap(found) else []
        stamps = found.stamps
        if found.ends is None:
            stamps = tuple(map(str, range(self._n_seen, self._n_seen + len(found))))
        for number, (begin, end) in enumerate(found.bounds):
            if number:
                final.append(self._close())
            self._take(found.values[begin:end], stamps[begin:end])
            final.append(self._emit(max(self._n_rows - self._detector.window, 0)))
        self._n_seen += len(found)
        return self._scores_of(final)

    def finish(self) -> SeriesScores:
        """The scores of the last rows; what is pushed next begins a new series."""
        self._n_seen, self._last = 0, None
        return self._scores_of([self._close()])

    @property
    def _n_rows(self) -> int:
        return len(self._values)

    def _at_gap(self, found: Stretches) -> bool:
        """Whether rows come late.

        Raises:
            DataError: If they come too early.
        """
        if found.ends is None:
            return False
        before, (first, self._last) = self._last, found.ends
        if before is None:
            return False
        if first <= before:
            raise DataError(
                f"The pushed rows begin at {found.stamps[0]}, but the newest row before is "
                f"of {np.datetime64(before, 'ns')}. Push rows in the order of their time "
                "stamps, each once; `finish` ends a series."
            )
        step = self._detector.step_
        return step is not None and first - before > GAP * step

    def _begin(self) -> None:
        """Forget everything of the stretch before."""
        n_columns = len(self._detector.PARTS) + self._detector.n_features_in_
        self._values = np.empty((0, self._detector.n_features_in_))
        self._stamps: tuple[str, ...] = ()
        self._sums = torch.zeros(0, n_columns, dtype=torch.float64)
        self._counts = torch.zeros(0, dtype=torch.float64)
        self._next = 0  # where the next window starts, among the kept rows
        self._newest: int | None = None  # where the last one started

    def _take(self, values: np.ndarray, stamps: tuple[str, ...]) -> None:
        """Append rows, and measure the windows that they complete."""
        self._values = np.concatenate([self._values, values])
        self._stamps += stamps
        sums = self._sums.new_zeros(len(values), self._sums.shape[1])
        self._sums = torch.cat([self._sums, sums])
        self._counts = torch.cat([self._counts, self._counts.new_zeros(len(values))])
        window = self._detector.window
        stride = min(self._detector.stride, window)
        starts = np.arange(self._next, self._n_rows - window + 1, stride)
        if len(starts):
            self._add(starts, window)
            self._newest = int(starts[-1])
            self._next = self._newest + stride

    def _add(self, starts: np.ndarray, length: int) -> None:
        sums, counts = self._measure(self._values, (Cut(starts, length),))
        self._sums += sums
        self._counts += counts

    def _emit(self, n: int) -> Piece:
        """Let go of the first `n` rows."""
        piece = self._stamps[:n], (self._sums[:n] / self._counts[:n, None]).numpy()
        self._values, self._stamps = self._values[n:], self._stamps[n:]
        self._sums, self._counts = self._sums[n:], self._counts[n:]
        self._next -= n
        self._newest = None if self._newest is None else self._newest - n
        return piece

    def _close(self) -> Piece:
        """End the stretch: one more window if none ends with it."""
        start = max(self._n_rows - self._detector.window, 0)
        if self._n_rows and start != self._newest:
            self._add(np.array([start]), self._n_rows - start)
        piece = self._emit(self._n_rows)
        self._begin()
        return piece

    def _scores_of(self, pieces: list[Piece]) -> SeriesScores:
        stamps = tuple(stamp for names, _ in pieces for stamp in names)
        return self._as_scores(stamps, np.concatenate([m for _, m in pieces]))
