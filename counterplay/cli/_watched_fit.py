"""Fitting with a log of the losses, so that an interrupted fit goes on where it was."""

from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from counterplay._atomic import write_atomically
from counterplay._sealed import append_line, line_of, read_lines
from counterplay.cli import _show
from counterplay.cli._folder import write_table
from counterplay.cli._log import Log
from counterplay.estimators._record import Record, recorded
from counterplay.game import State


N_ROWS = 200  # of the log


def fit_watched(
    detector: Any, X: Any, folder: Path, kept: MutableMapping[int, State]
) -> None:
    """Fit a detector; its losses go to `log.jsonl` and `log.csv` of a folder.

    Args:
        detector: What is fitted.
        X: What it is fitted to.
        folder: The folder of the fit.
        kept: Its states by move; the last one is gone on from.
    """
    log = Log(folder / "log.jsonl")
    past = _Past(folder / "losses.jsonl", log.rewind(kept))
    with ExitStack() as stack:

        def watch(n_steps: int) -> _Watch:
            advance = stack.enter_context(_show.stage("Fitting", n_steps))
            return _Watch(log, past, kept, n_steps, advance)

        with recorded(Record(kept, watch, past.losses)):
            detector.fit(X)
    if log.rows:
        write_table(folder / "log.csv", log.table())


class _Past:
    """Every loss of a fit, written whenever a state is kept."""

    def __init__(self, path: Path, reached: int):
        self.path, self.losses = path, defaultdict[str, list[float]](list)
        rows = [row for row in read_lines(path) if row["step"] <= reached]
        if path.exists():
            write_atomically(path, b"".join(map(line_of, rows)))
        for row in rows:
            for player, losses in row["losses"].items():
                self.losses[player] += losses

    def append(self, step: int, losses: Mapping[str, Sequence[float]]) -> None:
        """Add what was lost since the last time."""
        append_line(self.path, {"step": step, "losses": dict(losses)})


class _Watch:
    """Logs the losses every so often, and at every checkpoint."""

    def __init__(
        self,
        log: Log,
        past: _Past,
        kept: MutableMapping[int, State],
        n_steps: int,
        advance: _show.Advance,
    ):
        self.log, self.past, self.kept = log, past, kept
        self.n_steps, self.advance = n_steps, advance
        self.every = max(1, n_steps // N_ROWS)
        last = log.rows[-1] if log.rows else {}
        self.latest = {k: v for k, v in last.items() if k.startswith("loss_")}
        self.unread: list[Mapping[str, float]] = []
        self.since = defaultdict[str, list[float]](list)

    def __call__(self, state: State, losses: Mapping[str, float]) -> None:
        self.unread.append(losses)
        self.advance(state.step)
        checkpoint = state.step in self.kept
        if not checkpoint and state.step % self.every:
            return
        for found in self.unread:
            for player, loss in found.items():
                self.latest[f"loss_{player}"] = loss
                self.since[player].append(loss)
        self.unread.clear()
        if checkpoint:
            self.past.append(state.step, self.since)
            self.since.clear()
        # Last, as a checkpoint with a row is one to go on from.
        self.log.append(state.step, self.latest)
