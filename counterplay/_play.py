"""Forwards: iterate the move and keep the record."""

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import torch

from counterplay._checkpoint import fingerprint, FolderCheckpoints
from counterplay._contract import refuse_coupling, require_labels
from counterplay._memory import spacing
from counterplay._numerics import MemoryFormat, Numerics, Precision
from counterplay._trajectory import make_plan, Plan, recorded_move, Trajectory
from counterplay.errors import GameError, PlayError
from counterplay.game import Columns, Game, State
from counterplay.ranks import ALONE, Ranks, Store
from counterplay.typing import PerInstance, Scalar


OnStep = Callable[[State, Mapping[str, float]], None]
_UNCHECKED = 64  # moves whose losses nobody has looked at; a look waits for the device


def play(
    game: Game,
    data: Columns,
    *,
    n_steps: int,
    batch_size: int,
    seed: int = 0,
    every: int | None = None,
    memory: int | str | None = None,
    since: int = 0,
    weights: PerInstance | None = None,
    on_step: OnStep | None = None,
    checkpoints: MutableMapping[int, State] | None = None,
    device: str = "cpu",
    precision: Precision = "float32",
    memory_format: MemoryFormat = "channels_last",
    ranks: Ranks = ALONE,
) -> Trajectory:
    """Train a game and record the run so that it can be replayed bit for bit.

    Args:
        game: The game; its modules give the initial parameters and are not changed.
        data: The training set.
        n_steps: Moves to play.
        batch_size: Instances per move.
        seed: Determines batches and noise.
        every: Moves between checkpoints; the default is the square root of `n_steps`, which
            keeps both the record and one replayed segment small.
        memory: What the checkpoints may take instead, in bytes or such as `"2GiB"`.
        since: First move to keep; a trace cannot reach back further.
        weights: One weight per instance, 1 if left out.
        on_step: Called after each move with the new state and the losses. Reading a loss
            waits for the device.
        checkpoints: Where states are kept: a dictionary in memory if left out. If it
            already holds states, the run continues after the last of them.
        device: Where to compute. Data that is there already is not copied every move.
        precision: What float32 networks multiply in: `"float32"`, `"tf32"` or
            `"bfloat16"`. Only the first can be traced.
        memory_format: Order of images in memory; both give equal numbers up to rounding.
        ranks: The processes that share each batch; all of them call this function.

    Returns:
        The record of the run.

    Raises:
        GameError: If a number makes no sense, or a network couples instances.
        DataError: If the game needs the label of an instance that has none.
        PlayError: If a loss or parameter is no longer finite.
    """
    if n_steps < 1 or not 0 <= since <= n_steps:
        raise GameError(
            f"`n_steps` must be at least 1 and `since` between 0 and `n_steps`, got "
            f"n_steps={n_steps!r}, since={since!r}."
        )
    if every is not None and memory is not None:
        raise GameError(
            f"Give `every` or `memory`, not both: every={every!r}, memory={memory!r}."
        )
    require_labels(game, data)
    numerics = Numerics(device, precision, memory_format, ranks.size)
    plan = make_plan(
        data, batch_size=batch_size, seed=seed, weights=weights, numerics=numerics
    )
    shared = ranks.share(game, batch_size)
    kept = ranks.store({} if checkpoints is None else checkpoints)
    reached = [move for move in kept if move <= n_steps]
    state = numerics.place(kept[max(reached)] if reached else game.initial())
    numerics.require_playable(state)
    every = every or spacing(n_steps, since=since, state=state.n_bytes, memory=memory)
    if not reached:
        refuse_coupling(game, data, plan, state)
        ranks.require_parts(game, data, plan, state)
    run = continue_run(
        shared, data, plan, state, n_steps=n_steps, every=every, since=since, kept=kept,
        on_step=on_step,
    )  # fmt: skip
    ranks.agree("The final state", run.fingerprints[n_steps])
    return run


def continue_run(
    game: Game,
    data: Columns,
    plan: Plan,
    state: State,
    *,
    n_steps: int,
    every: int,
    since: int,
    kept: MutableMapping[int, State],
    on_step: OnStep | None = None,
) -> Trajectory:
    """Play on from `state` to move `n_steps`, keeping checkpoints in `kept`."""
    unchecked: list[Losses] = []

    def keep(state: State) -> None:
        due = state.step % every == 0 and state.step >= since
        due = (due or state.step in (since, n_steps)) and state.step not in kept
        if due or len(unchecked) == _UNCHECKED:
            _require_finite_losses(unchecked, kept)
            unchecked.clear()
        if due:
            _require_finite_params(state, kept)
            kept[state.step] = state

    state = plan.numerics.place(state)
    keep(state)
    with torch.no_grad():
        while state.step < n_steps:
            state, losses = recorded_move(game, data, plan, state)
            unchecked.append(Losses(state.step - 1, losses))
            latest = unchecked[-1]
            keep(state)
            if on_step is not None:
                on_step(state, latest)
    return Trajectory(plan, n_steps, *_up_to(n_steps, kept))


def _up_to(
    n_steps: int, kept: MutableMapping[int, State]
) -> tuple[Mapping[int, State], dict[int, str]]:
    """The checkpoints of a run and their hashes; the store may hold later ones."""
    if isinstance(kept, FolderCheckpoints | Store):  # which checks every file that it reads
        print_of = kept.fingerprint_of
    else:
        print_of = lambda move: fingerprint(kept[move])
    prints = {move: print_of(move) for move in kept if move <= n_steps}
    if len(prints) == len(kept) and not isinstance(kept, dict):
        return kept, prints  # stays on disk
    return {move: kept[move] for move in prints}, prints


@dataclass(frozen=True)
class Losses(Mapping[str, float]):
    """The losses of a move, which stay on their device until they are read.

    Attributes:
        move: Whose losses these are.
        tensors: One scalar per player that moved.
    """

    move: int
    tensors: Mapping[str, Scalar]

    def __getitem__(self, player: str) -> float:
        return float(self.tensors[player])

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def _require_finite_losses(
    unchecked: Sequence[Losses], kept: MutableMapping[int, State]
) -> None:
    """Look at the losses of several moves at once.

    Raises:
        PlayError: If one is not finite; the first is named.
    """
    scalars = [loss for losses in unchecked for loss in losses.tensors.values()]
    if not scalars or torch.stack(scalars).isfinite().all():
        return
    for losses in unchecked:
        for player, loss in losses.items():
            if not math.isfinite(loss):
                what = f"The loss of player {player!r} is {loss!r} at move {losses.move}"
                raise PlayError(_diverged(what, kept))


def _require_finite_params(state: State, kept: MutableMapping[int, State]) -> None:
    """A loss may be finite where its gradient is not; no such state is kept.

    Raises:
        PlayError: If a parameter is not finite.
    """
    for player, params in state.params.items():
        for name, param in params.items():
            if not torch.isfinite(param).all():
                what = (
                    f"The parameter {name!r} of player {player!r} holds NaN or infinity "
                    f"before move {state.step}"
                )
                raise PlayError(_diverged(what, kept))


def _diverged(what: str, kept: MutableMapping[int, State]) -> str:
    return (
        f"{what}. The last good checkpoint, of move {max(kept) if kept else None}, is "
        "kept. Usual causes: a learning rate that is too high, an unbounded loss without a "
        "penalty, or extreme values in the data."
    )
