"""The files that a detector is given, as it reads them and as its results name them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterplay._sealed import checksum
from counterplay.data._measured import Measured, read
from counterplay.errors import ConfigError, DataError


@dataclass(frozen=True)
class Given:
    """A table, or one or several series.

    Attributes:
        parts: What the files hold.
        windows: Whether they are series.
        step: Typical time between rows of series with times.
    """

    parts: Sequence[Measured]
    windows: bool
    step: float | None = None

    @classmethod
    def read(
        cls,
        files: Sequence[Path],
        *,
        windows: bool,
        step: float | None = None,
        names: Sequence[str] | None = None,
        **columns: Any,
    ) -> "Given":
        """Read files that all have the columns of the first, or those that are named.

        Args:
            files: One table, or series.
            windows: Whether they are series.
            step: Typical time between rows; that of the files themselves if left out.
            names: Columns there must be.
            columns: Options of `data._measured.read`.

        Returns:
            What they hold.

        Raises:
            ConfigError: If a table comes in several files.
        """
        if not windows and len(files) > 1:
            raise ConfigError(
                f"A detector of rows reads one table, got {[str(file) for file in files]}. "
                "Put the rows into one file."
            )
        parts: list[Measured] = []
        for file in files:
            parts.append(read(file, names=names, **columns))
            names = names or parts[0].names
        steps = [part.steps for part in parts if part.times is not None]
        if step is None and any(map(len, steps)):
            step = float(np.median(np.concatenate(steps)))
        return cls(parts, windows, step)

    @property
    def X(self) -> Any:
        """What estimators take: a matrix, or a list of stretches without gaps."""
        if not self.windows:
            return self.parts[0].values
        return [rows for part in self.parts for rows in part.stretches(self.step)]

    @property
    def names(self) -> tuple[str, ...]:
        """The measured columns."""
        return self.parts[0].names

    @property
    def values(self) -> NDArray[np.float64]:
        """All rows, one below the other."""
        first, *others = (part.values for part in self.parts)
        return np.concatenate([first, *others]) if others else first

    @property
    def ids(self) -> tuple[str, ...]:
        """What each row is called, with its file if there are several."""
        if len(self.parts) == 1:
            return self.parts[0].ids
        return tuple(f"{Path(part.file).stem}/{i}" for part in self.parts for i in part.ids)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """1 for an outlier, 0 for a normal row, if that is known."""
        found = [part.labels for part in self.parts if part.labels is not None]
        return np.concatenate(found) if len(found) == len(self.parts) else None

    @property
    def fingerprint(self) -> str:
        """A hash of all names, ids and values."""
        return checksum({"parts": [part.fingerprint for part in self.parts]})

    def name_columns(self) -> dict[str, Any]:
        """The columns of an output that name its rows."""
        if not self.windows:
            return {"id": list(self.parts[0].ids)}
        time = {"time": [name for part in self.parts for name in part.ids]}
        if len(self.parts) == 1:
            return time
        return {"series": [part.file for part in self.parts for _ in part.ids], **time}

    def instance_ids(self, own: Sequence[str]) -> tuple[str, ...]:
        """What the training instances of an estimator that was given `X` are called.

        Args:
            own: The estimator's names: row numbers, or for windows the number of the
                stretch, a slash, and the row at which they start.

        Returns:
            The names of those rows.
        """
        ids = self.ids
        if not self.windows:
            return tuple(ids[int(name)] for name in own)
        begins = np.cumsum([0, *map(len, self.X)])
        places = (map(int, name.split("/")) for name in own)
        return tuple(ids[begins[stretch] + row] for stretch, row in places)

    def sample(self, most: int) -> tuple[Any, NDArray[np.int64]]:
        """What estimators take, and its labels; of a larger table always the same rows.

        Args:
            most: Rows of a table; a series is not cut.

        Returns:
            Rows in the shares of their labels, but of outliers a tenth of `most` if there
            are as many, and their labels.
        """
        labels = self.labels
        assert labels is not None
        if self.windows or len(labels) <= most:
            return self.X, labels
        order = np.random.default_rng(0).permutation(len(labels))
        outliers, normal = order[labels[order] == 1], order[labels[order] == 0]
        n_outliers = max(round(most * labels.mean()), most // 10)
        chosen = np.sort(np.concatenate([outliers[:n_outliers], normal[:most]]))
        return self.X[chosen], labels[chosen]

    def require_both(self, label: str) -> None:
        """Refuse labels that are all equal.

        Raises:
            DataError: If they are.
        """
        labels = self.labels
        if labels is not None and len(set(labels.tolist())) < 2:
            raise DataError(
                f"All {len(labels)} labels in {label!r} are {labels[0]}, so detection "
                "cannot be measured: it compares outliers with normal rows. Label some of "
                "each, or leave `--label` out."
            )


def detection_columns(given: Given, scores: NDArray, threshold: float) -> dict[str, Any]:
    """Who the rows are, their scores, and which are outliers."""
    return {
        **given.name_columns(),
        "score": scores,
        "is_outlier": scores > threshold,
    }


def channel_columns(
    names: Sequence[str], residuals: NDArray[np.float64], k: int
) -> Mapping[str, Any]:
    """The `k` channels of each row that are furthest from the expected, and how far."""
    order = np.argsort(-residuals, axis=1, kind="stable")[:, :k]
    found: dict[str, Any] = {}
    for place in range(order.shape[1]):
        found[f"channel_{place + 1}"] = np.array(names, dtype=object)[order[:, place]]
        found[f"residual_{place + 1}"] = np.take_along_axis(
            residuals, order[:, place, None], 1
        )[:, 0]
    return found
