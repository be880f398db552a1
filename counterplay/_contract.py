"""The promise every loss makes: an instance at weight 0 is invisible."""

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from counterplay import _rng
from counterplay._trajectory import draw, layer_noise, Plan, weights_of
from counterplay.errors import DataError, GameError
from counterplay.game import Batch, Columns, Game, State
from counterplay.typing import Noise


def visible_at_zero(
    game: Game, player: str, state: State, batch: Batch, noise: Noise, weights: Tensor
) -> dict[str, float]:
    """How much a player's loss changes with an instance of weight 0.

    The first instance of the batch gets weight 0; the result is the largest derivative of
    the loss by its value in each floating column, 0 where the contract holds.
    """
    weights = weights.clone()
    weights[0] = 0.0
    columns = {
        name: column.detach().requires_grad_(column.is_floating_point())
        for name, column in batch.columns.items()
    }
    with torch.enable_grad():
        view = game.view(state)
        loss = game.losses[player](view, Batch(batch.index, columns), noise, weights)
        floating = {
            name: column for name, column in columns.items() if column.requires_grad
        }
        if not loss.requires_grad or not floating:
            return dict.fromkeys(floating, 0.0)
        grads = torch.autograd.grad(loss, list(floating.values()), materialize_grads=True)
    return {name: float(g[0].abs().max()) for name, g in zip(floating, grads, strict=True)}


def require_labels(game: Game, data: Columns) -> None:
    """Refuse instances without a label where a game reads the labels of all.

    Raises:
        DataError: If there is one.
    """
    y = data.tensors.get("y")
    if game.labels != "all" or y is None or y.is_floating_point() or not (y == -1).any():
        return
    without = (y == -1).nonzero().squeeze(1)
    raise DataError(
        f"{len(without)} of {len(data)} instances have no label, {data.ids[without[0]]!r} "
        "for one (its `y` is -1), but this game learns from the label "
        "of every instance. Label them, leave them out, or play 'semi_supervised_gan' or a "
        "game that reads no labels."
    )


def refuse_coupling(game: Game, data: Columns, plan: Plan, state: State) -> None:
    """Check the weight contract of every reading player on the first batch it reads.

    Raises:
        GameError: If an instance at weight 0 still has an effect.
    """
    if game.couples_instances:
        return
    for player in game.readers:
        move = next(m for m in itertools.count(state.step) if player in game.movers(m))
        reading = replace(state, step=move)
        batch, noise = draw(game, data, plan, reading)
        weights = weights_of(plan, batch, reading)
        with layer_noise(game, plan, reading.step):
            seen = visible_at_zero(game, player, reading, batch, noise, weights)
        leaking = [name for name, size in seen.items() if size > 0]
        if leaking:
            raise GameError(
                f"At weight 0 an instance still changes the loss of player {player!r} "
                f"through column {leaking[0]!r}{_where(game, player, batch)}, so the "
                "influence of one instance is undefined. Multiply each instance's terms by "
                "its weight, replace layers that mix a batch, or say "
                "`couples_instances=True` if it is meant."
            )


def _where(game: Game, player: str, batch: Batch) -> str:
    """Name the first layer whose output for one instance depends on another."""
    x = batch.columns.get("x")
    if x is None or len(x) < 2:
        return ""
    changed = x.clone()
    changed[0] = x[1]
    outputs: list[dict[str, Tensor]] = []
    network = game.networks[player].train()
    for values in (x, changed):
        seen: dict[str, Tensor] = {}
        hooks = [
            layer.register_forward_hook(
                lambda _, __, out, name=name, seen=seen: (
                    seen.setdefault(name, out) is None or None
                )
            )
            for name, layer in network.named_modules()
        ]
        try:
            with _rng.seeded(0, "contract"), torch.no_grad():  # the same dropout twice
                network(values)
        except (RuntimeError, TypeError):  # the network reads more than `x`; no name then
            return ""
        finally:
            for hook in hooks:
                hook.remove()
        outputs.append(seen)
    for name, before in outputs[0].items():
        after = outputs[1].get(name)
        same_rows = isinstance(before, Tensor) and len(before) == len(x)
        if same_rows and after is not None and not torch.equal(before[1:], after[1:]):
            return f" (the layer at {name!r} mixes the instances of a batch)"
    return ""
