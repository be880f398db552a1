"""Playing a run into its folder: checkpoints, log and pictures, ready to be continued."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from counterplay._trajectory import Trajectory
from counterplay.cli import _show
from counterplay.cli._folder import RunFolder
from counterplay.cli._log import Log
from counterplay.cli._pictures import write_fakes, write_reals
from counterplay.errors import MetricError, MissingExtraError
from counterplay.game import Game, State


Play = Callable[..., Trajectory]  # given `checkpoints` and `on_step`


def record(
    folder: RunFolder,
    game: Game,
    play: Play,
    start: Callable[[], State],
    *,
    tensorboard: bool = False,
) -> None:
    """Play the run of a folder, or the rest of it.

    Args:
        folder: The folder.
        game: The game.
        play: Plays with the given `checkpoints` and `on_step`.
        start: Makes the state before the first move that is played.
        tensorboard: Whether to write the log for TensorBoard too.
    """
    began = time.monotonic()
    log = Log(folder.path / "log.jsonl")
    checkpoints = folder.checkpoints
    reached = log.rewind(checkpoints)
    board = _board(folder, reached) if tensorboard else None
    with _show.stage("Playing", folder.n_steps) as advance:
        watch = _Watch(folder, game, log, advance, board)
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
        self, folder: RunFolder, game: Game, log: Log, advance: _show.Advance, board: Any
    ):
        self.folder, self.game, self.log, self.advance = folder, game, log, advance
        self.board = board
        n_steps, n_rows, n_scores = (
            folder.n_steps,
            folder.facts["n_rows"],
            folder.facts["n_scores"],
        )
        self.row_every = (folder.recipe.spacing(game), max(1, n_steps // max(1, n_rows)))
        self.score_every = math.ceil(n_steps / n_scores) if n_scores else 0
        self.targets = folder.recipe.targets(game) if n_scores else []
        last = log.rows[-1] if log.rows else {}
        self.losses = {
            name: value for name, value in last.items() if name.startswith("loss_")
        }
        self.unread: dict[str, Mapping[str, float]] = {}

    def __call__(self, state: State, losses: Mapping[str, float]) -> None:
        self.unread |= dict.fromkeys(losses, losses)
        self.advance(state.step)
        # Every checkpoint has a row: resuming there, the losses of all players are known.
        ends = state.step == self.folder.n_steps or not losses
        if ends or any(state.step % every == 0 for every in self.row_every):
            self.losses |= {f"loss_{p}": found[p] for p, found in self.unread.items()}
            self.unread.clear()
            values = dict(self.losses)
            if self.score_every and (ends or state.step % self.score_every == 0):
                values |= self._score(state)
            self.log.append(state.step, values)
            if self.board is not None:
                for name, value in values.items():
                    self.board.add_scalar(name, value, state.step)

    def _score(self, state: State) -> dict[str, float]:
        write_fakes(self.folder, self.game, state, f"fakes_{state.step:06d}.png")
        found = {}
        for target in self.targets:
            try:
                found[target.name] = target.value(state)
            except MetricError:  # has no value yet, or not any more; the column stays empty
                continue
        return found


def _board(folder: RunFolder, reached: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "`--tensorboard` needs the package tensorboard. Install it with "
            '`pip install "counterplay[tensorboard]"`, or leave the option out; log.csv '
            "holds the same numbers."
        ) from error
    return SummaryWriter(str(folder.path / "tensorboard"), purge_step=reached + 1)
