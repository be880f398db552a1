"""Forwards: iterate the move and keep the record."""

import math
from collections.abc import Callable, Mapping, MutableMapping

import torch

from counterplay._checkpoint import fingerprint
from counterplay._contract import refuse_coupling
from counterplay._trajectory import make_plan, Plan, recorded_move, Trajectory
from counterplay.errors import GameError, PlayError
from counterplay.game import Columns, Game, State
from counterplay.typing import PerInstance


OnStep = Callable[[State, dict[str, float]], None]


def play(
    game: Game,
    data: Columns,
    *,
    n_steps: int,
    batch_size: int,
    seed: int = 0,
    every: int | None = None,
    since: int = 0,
    weights: PerInstance | None = None,
    on_step: OnStep | None = None,
    checkpoints: MutableMapping[int, State] | None = None,
    device: torch.device | str | None = None,
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
        since: First move to keep; a trace cannot reach back further.
        weights: One weight per instance, 1 if left out.
        on_step: Called after each move with the new state and the losses.
        checkpoints: Where states are kept: a dictionary in memory if left out. If it
            already holds states, the run continues after the last of them.
        device: Where to compute.

    Returns:
        The record of the run.

    Raises:
        GameError: If a number makes no sense, or a network couples instances.
        PlayError: If a loss or parameter is no longer finite.
    """
    if n_steps < 1 or not 0 <= since <= n_steps:
        raise GameError(
            f"`n_steps` must be at least 1 and `since` between 0 and `n_steps`, got "
            f"n_steps={n_steps!r}, since={since!r}."
        )
    every = every or max(1, math.isqrt(n_steps))
    plan = make_plan(data, batch_size=batch_size, seed=seed, weights=weights)
    kept = {} if checkpoints is None else checkpoints
    reached = [move for move in kept if move <= n_steps]
    state = kept[max(reached)] if reached else game.initial(device=device)
    if not reached:
        refuse_coupling(game, data, plan, state)
    return continue_run(
        game, data, plan, state, n_steps=n_steps, every=every, since=since, kept=kept,
        on_step=on_step,
    )  # fmt: skip


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

    def keep(state: State) -> None:
        due = state.step % every == 0 and state.step >= since
        if (due or state.step in (since, n_steps)) and state.step not in kept:
            _require_finite_params(state, kept)
            kept[state.step] = state

    keep(state)
    with torch.no_grad():
        while state.step < n_steps:
            state, losses = recorded_move(game, data, plan, state)
            values = {player: float(loss) for player, loss in losses.items()}
            _require_finite_losses(state, values, kept)
            keep(state)
            if on_step is not None:
                on_step(state, values)
    return Trajectory(plan, n_steps, *_up_to(n_steps, kept))


def _up_to(
    n_steps: int, kept: MutableMapping[int, State]
) -> tuple[Mapping[int, State], dict[int, str]]:
    """The checkpoints of a run and their hashes; the store may hold later ones."""
    prints = {move: fingerprint(kept[move]) for move in kept if move <= n_steps}
    if len(prints) == len(kept) and not isinstance(kept, dict):
        return kept, prints  # stays on disk
    return {move: kept[move] for move in prints}, prints


def _require_finite_losses(
    state: State, losses: dict[str, float], kept: MutableMapping[int, State]
) -> None:
    for player, loss in losses.items():
        if not math.isfinite(loss):
            what = f"The loss of player {player!r} is {loss!r} at move {state.step - 1}"
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
