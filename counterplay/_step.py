"""One move, pure: a function from an immutable state to the next.

Playing, replaying, reversing and retraining all call `step`; there is no second
implementation of a move. It is differentiable exactly when grad mode is on.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from counterplay import _layers
from counterplay._mode import computing, Mode
from counterplay.game import Batch, Game, State
from counterplay.typing import Noise, Scalar, Slots, Tensors, Weights


# loss(params) -> (value, new buffers); params -> (gradient, value, new buffers)
LossOfParams = Callable[[Tensors], tuple[Scalar, Tensors]]
Gradient = Callable[[LossOfParams, Tensors], tuple[Tensors, Scalar, Tensors]]


def step(
    game: Game,
    state: State,
    batch: Batch,
    noise: Noise,
    weights: Weights,
    *,
    gradient: Gradient | None = None,
) -> tuple[State, dict[str, Scalar]]:
    """Play one move of a game.

    All players of the move read the same old state; the others stay as they are.

    Args:
        game: The game.
        state: The state before the move; left untouched.
        batch: The instances the move reads, empty if it reads none.
        noise: The move's random numbers.
        weights: One weight per instance of the batch.
        gradient: How players differentiate their losses; `by_autograd` unless the call
            happens inside a `torch.func` transform, which needs `by_transform`.

    Returns:
        The state after the move, and each mover's loss.
    """
    gradient = gradient or by_autograd
    params, buffers = dict(state.params), dict(state.buffers)
    slots, averages = dict(state.slots), dict(state.averages)
    losses = {}
    for player in game.movers(state.step):
        moved, losses[player] = _respond(
            game, state, player, batch, noise, weights, gradient
        )
        params[player], buffers[player], slots[player] = moved
        if player in averages:
            decay = 0.5 ** (1 / game.averages[player])
            averages[player] = {
                name: decay * average + (1 - decay) * params[player][name]
                for name, average in state.averages[player].items()
            }
    return State(state.step + 1, params, buffers, slots, averages), losses


def _respond(
    game: Game,
    state: State,
    player: str,
    batch: Batch,
    noise: Noise,
    weights: Weights,
    gradient: Gradient,
) -> tuple[tuple[Tensors, Tensors, Slots], Scalar]:
    """One player's new parameters, buffers and slots, and its loss."""
    view = game.view(state)
    entering = _layers.advance(
        game.spectral_layers[player], state.params[player], state.buffers[player]
    )

    def loss(params: Tensors) -> tuple[Scalar, Tensors]:
        view[player] = {**params, **entering}
        value = game.losses[player](view, batch, noise, weights)
        return value, {name: view[player][name] for name in entering}

    grads, value, leaving = gradient(loss, state.params[player])
    params, slots = game.optimizers[player].update(
        grads,
        state.slots[player],
        state.params[player],
        state.step,
        game.n_updates(player, state.step),
    )
    return (params, leaving, slots), value


def by_autograd(
    loss: LossOfParams,
    params: Tensors,
    *,
    channels_last: bool = False,
    by_hand: bool = True,
) -> tuple[Tensors, Scalar, Tensors]:
    """Differentiate with `torch.autograd`: the fast way, outside of transforms.

    The loss reads aliases of the parameters. Buffers computed before (spectral-norm
    vectors) depend on the parameters themselves, so the player's own gradient takes them as
    constants while the derivative of the whole step sees both paths.
    """
    differentiable = torch.is_grad_enabled()
    mode = Mode(
        by_hand=by_hand,
        channels_last=channels_last,
        constant_buffers=not differentiable,
    )
    with torch.enable_grad(), computing(mode):
        aliases = {
            name: param.view_as(param)
            if differentiable and param.requires_grad
            else param.detach().requires_grad_()
            for name, param in params.items()
        }
        value, buffers = loss(aliases)
        grads = torch.autograd.grad(
            value,
            list(aliases.values()),
            create_graph=differentiable,
            materialize_grads=True,
        )
    if not differentiable:
        value = value.detach()
        buffers = {name: buffer.detach() for name, buffer in buffers.items()}
    return dict(zip(aliases, grads, strict=True)), value, buffers


def by_transform(loss: LossOfParams, params: Tensors) -> tuple[Tensors, Scalar, Tensors]:
    """Differentiate with `torch.func.grad`, which composes with `vmap` and `jvp`."""

    def with_aux(params: Tensors) -> tuple[Scalar, tuple[Scalar, Tensors]]:
        value, buffers = loss(params)
        return value, (value, buffers)

    grads, (value, buffers) = torch.func.grad(with_aux, has_aux=True)(params)
    return grads, value, buffers


def detached(state: State, *, requires_grad: bool = False) -> State:
    """The same values without history, the floating ones as new leaves if asked for."""

    def leaf(tensor: Tensor) -> Tensor:
        return tensor.detach().requires_grad_(requires_grad and tensor.is_floating_point())

    return state.with_tensors(
        {name: leaf(tensor) for name, tensor in state.tensors().items()}
    )
