"""The log of a run: one row per logged move."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from counterplay._atomic import write_atomically
from counterplay.errors import RunError


class Log:
    """`log.jsonl`, one JSON object per line.

    A row is appended after everything that belongs to its move has been written. So a
    checkpoint whose row is missing was interrupted, and a run that resumes goes back to the
    newest checkpoint with a row; what was logged after it is dropped and logged again.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows = _read(path)
        self._began = time.process_time() - (self.rows[-1]["cpu_s"] if self.rows else 0.0)

    def cut(self, move: int) -> None:
        """Forget the rows after `move`."""
        self.rows = [row for row in self.rows if row["step"] <= move]
        self._began = time.process_time() - (self.rows[-1]["cpu_s"] if self.rows else 0.0)
        write_atomically(
            self.path, "".join(json.dumps(r) + "\n" for r in self.rows).encode()
        )

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Write a row.

        Raises:
            RunError: If the disk is full.
        """
        cpu = round(time.process_time() - self._began, 3)
        row = {"step": step, **values, "cpu_s": cpu}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise RunError(
                f"{str(self.path)!r} could not be written: {error.strerror or error}. "
                "Everything written before is intact; free some space, then use `--resume`."
            ) from error
        self.rows.append(row)

    def table(self) -> list[dict[str, float | None]]:
        """The rows with all columns in order: the move, losses, metrics, time."""
        names = {name for row in self.rows for name in row} - {"step", "cpu_s"}
        ordered = sorted(names, key=lambda name: (not name.startswith("loss_"), name))
        return [
            {name: row.get(name) for name in ("step", *ordered, "cpu_s")}
            for row in self.rows
        ]

    def __contains__(self, step: int) -> bool:
        return any(row["step"] == step for row in self.rows)


def _read(path: Path) -> list[dict[str, float]]:
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:  # the last line of an interrupted write
            break
    return rows
