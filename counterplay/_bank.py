"""Values of finished retrainings, kept as they come."""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from counterplay._sealed import append_line, read_lines


class Bank(MutableMapping[str, list[float]]):
    """Values of finished retrainings, appended to a file as they come.

    Retraining is most of the cost of honest evaluation, so no finished run is lost: after a
    crash the same rows are looked up instead of played again. Runs that were played at once
    are one line. It is there whole or not at all, so the next call plays the same runs at
    once, which matters to their last bits.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._values: dict[str, list[float]] = {}
        for entry in read_lines(self.path):
            self._values |= _values_of(entry)

    def __getitem__(self, key: str) -> list[float]:
        return self._values[key]

    def __setitem__(self, key: str, values: list[float]) -> None:
        self.update({key: values})

    def update(self, *runs: Any, **more: list[float]) -> None:
        """Add the values of runs that were played at once."""
        added = dict(*runs, **more)
        append_line(self.path, {"runs": added})
        self._values |= added

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _values_of(entry: Mapping[str, Any]) -> Mapping[str, list[float]]:
    """The runs of a line; in older files each has a line of its own."""
    if "runs" in entry:
        return entry["runs"]
    return {entry["run"]: entry["values"]} if {"run", "values"} <= entry.keys() else {}
