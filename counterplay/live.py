"""Watching a run while it is played: one interface, and where the numbers can go.

A watcher is any function of one `Progress`. `Live` calls watchers from a run that `play`
plays; `counterplay play` calls the same ones for `--tensorboard` and `--wandb`.

Example:
    >>> show = lambda now: print(now.step, now.values)
    >>> live = Live(game, show, n_steps=3_000, batch_size=64)  # doctest: +SKIP
    >>> run = play(game, data, n_steps=3_000, batch_size=64, on_step=live)  # doctest: +SKIP
"""

import importlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from counterplay.errors import MetricError, MissingExtraError
from counterplay.game import Game, State
from counterplay.metrics.target import Target


@dataclass(frozen=True)
class Progress:
    """How a run is going.

    Attributes:
        step: Moves played.
        n_steps: Moves to play in all.
        values: The latest losses as `loss_<player>`, and the metrics that were measured at
            this move by their names.
        per_second: Instances read per second since the last time; 0 at first.
    """

    step: int
    n_steps: int
    values: Mapping[str, float]
    per_second: float


class Watcher(Protocol):
    """What is told how a run is going."""

    def __call__(self, progress: Progress, /) -> None:
        """Take note of it."""


class Pace:
    """How many instances a run reads per second."""

    def __init__(self, game: Game, batch_size: int):
        self._game, self._batch_size = game, batch_size
        self._last: tuple[int, float] | None = None

    def at(self, step: int) -> float:
        """Instances per second since the last call, 0 at the first."""
        now, last = time.monotonic(), self._last
        self._last = step, now
        if last is None or now <= last[1]:
            return 0.0
        n_reads = self._game.n_reads(step) - self._game.n_reads(last[0])
        return n_reads * self._batch_size / (now - last[1])


class Live:
    """Calls watchers now and then; give it to `play` as `on_step`."""

    def __init__(
        self,
        game: Game,
        *watchers: Watcher,
        n_steps: int,
        batch_size: int,
        every: int = 100,
        metrics: Sequence[Target] = (),
        measure_every: int = 1_000,
    ):
        """Watch a run.

        Args:
            game: The game.
            watchers: Who is told.
            n_steps: Moves of the run.
            batch_size: Instances of a move.
            every: Moves between calls; reading a loss waits for the device.
            metrics: Measured as well.
            measure_every: Moves between measurements, a multiple of `every`.
        """
        self.watchers, self.n_steps, self.every = watchers, n_steps, every
        self.metrics, self.measure_every = metrics, measure_every
        self._pace = Pace(game, batch_size)
        self._unread: dict[str, Mapping[str, float]] = {}

    def __call__(self, state: State, losses: Mapping[str, float]) -> None:
        """Take note of a move."""
        self._unread |= dict.fromkeys(losses, losses)
        ends = state.step == self.n_steps
        if state.step % self.every and not ends:
            return
        values = {f"loss_{p}": float(found[p]) for p, found in self._unread.items()}
        if ends or state.step % self.measure_every == 0:
            values |= measured(self.metrics, state)
        pace = self._pace.at(state.step)
        for watcher in self.watchers:
            watcher(Progress(state.step, self.n_steps, values, pace))


def measured(metrics: Sequence[Target], state: State) -> dict[str, float]:
    """The metrics of a state; one that has no value yet, or not any more, is left out."""
    found = {}
    for target in metrics:
        try:
            found[target.name] = target.value(state)
        except MetricError:
            continue
    return found


class TensorBoard:
    """Writes the log of a run for TensorBoard."""

    def __init__(self, folder: Path | str, *, since: int = 0):
        """Open the log; what an interrupted run wrote from move `since` on is hidden.

        Raises:
            MissingExtraError: If TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(_missing("tensorboard")) from error
        self._writer = SummaryWriter(str(folder), purge_step=since)

    def __call__(self, progress: Progress, /) -> None:
        """Write a row."""
        for name, value in _everything(progress).items():
            self._writer.add_scalar(name, value, progress.step)

    def close(self) -> None:
        """Finish writing."""
        self._writer.close()


class WandB:
    """Sends the log of a run to Weights & Biases; `WANDB_MODE=offline` keeps it here."""

    def __init__(
        self,
        folder: Path | str,
        *,
        name: str | None = None,
        id: str | None = None,
        project: str = "counterplay",
        settings: Mapping[str, Any] | None = None,
    ):
        """Begin a run there, or go on with the one of this `id`.

        Args:
            folder: Where its own files go.
            name: What it is called.
            id: What it is found again by when the run is continued.
            project: Where it belongs.
            settings: What was set, shown beside the run.

        Raises:
            MissingExtraError: If Weights & Biases is not installed.
        """
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise MissingExtraError(_missing("wandb")) from error
        self._run = wandb.init(
            project=project,
            name=name,
            id=id,
            resume="allow",
            dir=str(folder),
            config=dict(settings or {}),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def __call__(self, progress: Progress, /) -> None:
        """Send a row."""
        self._run.log(_everything(progress), step=progress.step)

    def close(self) -> None:
        """Finish sending."""
        self._run.finish()


def _everything(progress: Progress) -> dict[str, float]:
    pace = {"instances_per_second": progress.per_second} if progress.per_second else {}
    return {**progress.values, **pace}


def _missing(package: str) -> str:
    return (
        f"`--{package}` needs the package {package}. Install it with "
        f'`pip install "counterplay[{package}]"`, or leave the option out; log.csv holds '
        "the same numbers."
    )
