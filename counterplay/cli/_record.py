"""Playing a run into its folder: checkpoints, log and pictures, ready to be continued."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, ExitStack

from counterplay import live
from counterplay._sealed import checksum
from counterplay._trajectory import Trajectory
from counterplay.cli import _show
from counterplay.cli._folder import RunFolder
from counterplay.cli._log import Log
from counterplay.cli._pictures import (
    write_fakes,
    write_interpolations,
    write_reals,
    write_reconstructions,
)
from counterplay.game import Game, State
from counterplay.metrics.classification import with_error
from counterplay.report import words


Play = Callable[..., Trajectory]  # given `checkpoints` and `on_step`


def record(
    folder: RunFolder,
    game: Game,
    play: Play,
    start: Callable[[], State],
    *,
    tensorboard: bool = False,
    wandb: bool = False,
) -> None:
    """Play the run of a folder, or the rest of it.

    Args:
        folder: The folder.
        game: The game.
        play: Plays with the given `checkpoints` and `on_step`.
        start: Makes the state before the first move that is played.
        tensorboard: Whether to write the log for TensorBoard too.
        wandb: Whether to send it to Weights & Biases.
    """
    began = time.monotonic()
    log = Log(folder.path / "log.jsonl")
    checkpoints = folder.checkpoints
    reached = log.rewind(checkpoints)
    with ExitStack() as stack:
        watchers: list[live.Watcher] = []
        if tensorboard:
            board = live.TensorBoard(folder.path / "tensorboard", since=reached + 1)
            watchers.append(stack.enter_context(closing(board)))
        if wandb:
            watchers.append(stack.enter_context(closing(_wandb(folder))))
        advance = stack.enter_context(_show.stage("Playing", folder.n_steps))
        watch = _Watch(folder, game, log, advance, watchers)
        if reached < 0:
            write_reals(folder)
            watch(start(), {})
        play(checkpoints=checkpoints, on_step=watch)
    folder.write_table("log.csv", log.table())
    folder.note(
        seconds=round(folder.facts.get("seconds", 0.0) + time.monotonic() - began, 1)
    )


class _Watch:
    """Logs losses every so often, and metrics and pictures now and then."""

    def __init__(
        self,
        folder: RunFolder,
        game: Game,
        log: Log,
        advance: _show.Advance,
        watchers: Sequence[live.Watcher],
    ):
        self.folder, self.game, self.log, self.advance = folder, game, log, advance
        self.watchers, self.measured = watchers, {}
        self.pace = live.Pace(game, folder.plan.batch_size)
        n_steps, n_rows, n_scores = (
            folder.n_steps,
            folder.facts["n_rows"],
            folder.facts["n_scores"],
        )
        self.row_every = (folder.recipe.spacing(game), max(1, n_steps // max(1, n_rows)))
        self.score_every = math.ceil(n_steps / n_scores) if n_scores else 0
        names = with_error(folder.recipe.metric_names, game)
        self.targets = folder.recipe.targets(game, names=names) if n_scores else []
        last = log.rows[-1] if log.rows else {}
        self.losses = {
            name: value for name, value in last.items() if name.startswith("loss_")
        }
        self.note = ""
        self.unread: dict[str, Mapping[str, float]] = {}

    def __call__(self, state: State, losses: Mapping[str, float]) -> None:
        self.unread |= dict.fromkeys(losses, losses)
        self.advance(state.step, self.note)
        # Every checkpoint has a row: resuming there, the losses of all players are known.
        ends = state.step == self.folder.n_steps or not losses
        if ends or any(state.step % every == 0 for every in self.row_every):
            self.losses |= {f"loss_{p}": found[p] for p, found in self.unread.items()}
            self.unread.clear()
            values = dict(self.losses)
            if self.score_every and (ends or state.step % self.score_every == 0):
                self.measured = self._score(state)
                values |= self.measured
            self.log.append(state.step, values)
            pace = self.pace.at(state.step)
            self.note = _note(self.losses, self.measured, pace)
            for watcher in self.watchers:
                watcher(live.Progress(state.step, self.folder.n_steps, values, pace))

    def _score(self, state: State) -> dict[str, float]:
        step = f"{state.step:06d}.png"
        write_fakes(self.folder, self.game, state, f"fakes_{step}")
        if state.step == self.folder.n_steps:
            write_interpolations(self.folder, self.game, state, f"interpolations_{step}")
            write_reconstructions(self.folder, self.game, state, f"reconstructions_{step}")
        return live.measured(self.targets, state)


def _note(losses: Mapping[str, float], measured: Mapping[str, float], pace: float) -> str:
    """The latest numbers, for the line of the bar."""
    parts = [f"{name.removeprefix('loss_')} {loss:.3g}" for name, loss in losses.items()]
    parts += [f"{pace:,.0f}/s"] if pace else []
    parts += [f"{words.metric_name(name)} {value:.4g}" for name, value in measured.items()]
    return " · ".join(parts)


def _wandb(folder: RunFolder) -> live.WandB:
    created = f"{folder.facts['created']}/{folder.facts['data']}"
    return live.WandB(
        folder.path,
        name=folder.path.name,
        id=checksum({"run": f"{folder.recipe.identity}/{created}"})[:16],
        settings=folder.recipe.tables(),
    )
