"""The log of a run: one row per logged move."""

import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from counterplay._atomic import write_atomically
from counterplay._sealed import append_line, line_of
from counterplay.game import State
from counterplay.report.records import log_rows


class Log:
    """`log.jsonl`, one JSON object per line.

    A row is appended after everything that belongs to its move has been written. So a
    checkpoint whose row is missing was interrupted, and a run that resumes goes back to the
    newest checkpoint with a row; what was logged after it is dropped and logged again.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows = log_rows(path)
        self._began = time.process_time() - self._spent

    def rewind(self, checkpoints: MutableMapping[int, State]) -> int:
        """Go back to where the run can go on from: the newest checkpoint with a row.

        Returns:
            Its move, -1 if there is none.
        """
        usable = [move for move in checkpoints if move in self] or list(checkpoints)
        reached = max(usable, default=-1)
        for move in list(checkpoints):
            if move > reached:
                del checkpoints[move]
        self.cut(reached)
        return reached

    def cut(self, move: int) -> None:
        """Forget the rows after `move`."""
        self.rows = [row for row in self.rows if row["step"] <= move]
        self._began = time.process_time() - self._spent
        write_atomically(self.path, b"".join(map(line_of, self.rows)))

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Write a row."""
        cpu = round(time.process_time() - self._began, 3)
        row = {"step": step, **values, "cpu_s": cpu}
        append_line(self.path, row)
        self.rows.append(row)

    @property
    def _spent(self) -> float:
        return self.rows[-1].get("cpu_s", 0.0) if self.rows else 0.0

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
