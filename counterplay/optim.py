"""Optimizers as pairs of pure functions.

Each equals the update of its namesake in `torch.optim`, but maps values to values, so that
its memory is part of the state and the whole step has a derivative. Products and sums are
fused (`addcmul`, `lerp`), since small networks spend their time in the number of calls.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args, Literal

import torch
from torch import Tensor

from counterplay.errors import GameError
from counterplay.typing import Slots, Tensors


Name = Literal["sgd", "rmsprop", "adam", "adamw"]
Rate = float | Callable[[int], float]  # constant, or a function of the move


@dataclass(frozen=True)
class Optimizer:
    """How a player turns gradients into new parameters.

    Attributes:
        init: `params -> slots`, the memory before the first update.
        update: `(grads, slots, params, move, count) -> (params, slots)`; `move` is the
            game's move, `count` the number of this player's earlier updates.
        description: Name and hyperparameters, for records and reports.
    """

    init: Callable[[Tensors], Slots]
    update: Callable[[Tensors, Slots, Tensors, int, int], tuple[Tensors, Slots]]
    description: Mapping[str, object]


def sgd(
    lr: Rate = 1e-3,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Stochastic gradient descent, with momentum and L2 decay as in `torch.optim.SGD`.

    Raises:
        GameError: If Nesterov's form is asked for without momentum.
    """
    _require("lr", lr, low=0.0)
    _require("momentum", momentum, low=0.0, high=1.0)
    if nesterov and momentum == 0.0:
        raise GameError("`nesterov=True` needs a `momentum` above 0, got 0.0.")

    def init(params: Tensors) -> Slots:
        return _zeros(params, "momentum") if momentum else {}

    def update(grads, slots, params, move, count):
        rate, new_params, new_slots = _at(lr, move), {}, {}
        for name, param in params.items():
            direction = _decayed(grads[name], param, weight_decay)
            if momentum:
                # From 0: the first gradient enters undamped, as in PyTorch.
                buffer = torch.add(direction, slots[f"momentum/{name}"], alpha=momentum)
                new_slots[f"momentum/{name}"] = buffer
                direction = (
                    torch.add(direction, buffer, alpha=momentum) if nesterov else buffer
                )
            new_params[name] = torch.sub(param, direction, alpha=rate)
        return new_params, new_slots

    return Optimizer(
        init,
        update,
        {
            "name": "sgd",
            "lr": _describe(lr),
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
        },
    )


def rmsprop(
    lr: Rate = 1e-2,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSprop, equal to `torch.optim.RMSprop` at `eps_root=0`.

    `eps_root` is added inside the root, which makes the step smooth at zero gradient.
    Source: Tieleman and Hinton 2012, lecture 6.5.
    """
    _require("lr", lr, low=0.0)
    _require("alpha", alpha, low=0.0, high=1.0)
    _require("momentum", momentum, low=0.0, high=1.0)

    def init(params: Tensors) -> Slots:
        slots = _zeros(params, "square")
        return {**slots, **_zeros(params, "momentum")} if momentum else slots

    def update(grads, slots, params, move, count):
        rate, new_params, new_slots = _at(lr, move), {}, {}
        for name, param in params.items():
            grad = _decayed(grads[name], param, weight_decay)
            square = torch.addcmul(
                alpha * slots[f"square/{name}"], grad, grad, value=1 - alpha
            )
            new_slots[f"square/{name}"] = square
            direction = grad / (_root(square, eps_root) + eps)
            if momentum:
                earlier = slots[f"momentum/{name}"]
                direction = torch.add(direction, earlier, alpha=momentum)
                new_slots[f"momentum/{name}"] = direction
            new_params[name] = torch.sub(param, direction, alpha=rate)
        return new_params, new_slots

    return Optimizer(
        init,
        update,
        {
            "name": "rmsprop",
            "lr": _describe(lr),
            "alpha": alpha,
            "eps": eps,
            "eps_root": eps_root,
            "momentum": momentum,
            "weight_decay": weight_decay,
        },
    )


def adam(
    lr: Rate = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> Optimizer:
    """Adam, equal to `torch.optim.Adam` at `eps_root=0`.

    With `eps` outside the root the step is nearly a jump where a gradient passes zero,
    which makes the effect of one instance jumpy too; `eps_root`, inside the root, smooths
    it.
    Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.

    Args:
        lr: Learning rate, or a function of the move.
        betas: Decay of the two moments.
        eps: Added to the root.
        eps_root: Added inside the root.
        weight_decay: L2 decay, or decoupled decay as in `adamw`.
        decoupled: Apply the decay to the parameters instead of the gradient.

    Returns:
        The optimizer.
    """
    _require("lr", lr, low=0.0)
    for beta in betas:
        _require("betas", beta, low=0.0, high=1.0)
    beta1, beta2 = betas

    def init(params: Tensors) -> Slots:
        return {**_zeros(params, "mean"), **_zeros(params, "square")}

    def update(grads, slots, params, move, count):
        rate, new_params, new_slots = _at(lr, move), {}, {}
        correction1, correction2 = 1 - beta1 ** (count + 1), 1 - beta2 ** (count + 1)
        scale = math.sqrt(correction2)  # taken out of the root
        for name, param in params.items():
            grad = _decayed(grads[name], param, 0.0 if decoupled else weight_decay)
            if weight_decay and decoupled:
                param = param * (1 - rate * weight_decay)
            mean = torch.lerp(slots[f"mean/{name}"], grad, 1 - beta1) if beta1 else grad
            square = torch.addcmul(
                beta2 * slots[f"square/{name}"], grad, grad, value=1 - beta2
            )
            new_slots[f"mean/{name}"], new_slots[f"square/{name}"] = mean, square
            root = _root(square, eps_root * correction2) + eps * scale
            new_params[name] = torch.addcdiv(
                param, mean, root, value=-rate * scale / correction1
            )
        return new_params, new_slots

    return Optimizer(
        init,
        update,
        {
            "name": "adamw" if decoupled else "adam",
            "lr": _describe(lr),
            "betas": list(betas),
            "eps": eps,
            "eps_root": eps_root,
            "weight_decay": weight_decay,
        },
    )


def adamw(
    lr: Rate = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-2,
) -> Optimizer:
    """Adam with decoupled weight decay, equal to `torch.optim.AdamW` at `eps_root=0`.

    Source: Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2.
    """
    return adam(
        lr,
        betas=betas,
        eps=eps,
        eps_root=eps_root,
        weight_decay=weight_decay,
        decoupled=True,
    )


def historical_averaging(rule: Optimizer, strength: float = 1.0) -> Optimizer:
    """An optimizer whose player is also pulled to the mean of its earlier parameters.

    To the player's loss comes `strength * |params - mean|^2`, where the mean, over all
    moves of the player so far, counts as a constant. It is part of the memory.
    Source: Salimans et al. 2016, arXiv 1606.03498, section 3.3.

    Args:
        rule: What moves the player.
        strength: Factor of the squared distance.

    Returns:
        The optimizer.
    """
    _require("strength", strength, low=0.0)

    def init(params: Tensors) -> Slots:
        means = {f"history/{name}": param.clone() for name, param in params.items()}
        return {**rule.init(params), **means}

    def update(grads, slots, params, move, count):
        own, means = {}, {}
        for name, value in slots.items():
            kept = means if name.startswith("history/") else own
            kept[name.removeprefix("history/") if kept is means else name] = value
        means = {
            name: torch.lerp(means[name], param, 1 / (count + 1))
            for name, param in params.items()
        }
        pulled = {
            name: grad + 2 * strength * (params[name] - means[name])
            for name, grad in grads.items()
        }
        moved, own = rule.update(pulled, own, params, move, count)
        return moved, own | {f"history/{name}": mean for name, mean in means.items()}

    description = {"historical_averaging": strength, **rule.description}
    return Optimizer(init, update, description)


def by_name(
    name: Name,
    lr: Rate,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    momentum: float = 0.0,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """The optimizer called `name`, so that a game can offer the choice as one option.

    Args:
        name: The optimizer.
        lr: Learning rate, or a function of the move.
        betas: Decay of Adam's two moments; the second is also RMSprop's `alpha`.
        momentum: Momentum of SGD and RMSprop.
        eps: Added to the root by all but SGD.
        eps_root: Added inside the root by all but SGD.
        weight_decay: L2 decay, or decoupled decay for `adamw`.

    Returns:
        The optimizer.

    Raises:
        GameError: If there is no such optimizer, or momentum is asked of one without.
    """
    if momentum and name in ("adam", "adamw"):
        raise GameError(
            f"{name!r} has no `momentum`, got {momentum!r}. Set `betas[0]`, or use 'sgd' "
            "or 'rmsprop'."
        )
    match name:
        case "sgd":
            return sgd(lr, momentum=momentum, weight_decay=weight_decay)
        case "rmsprop":
            return rmsprop(
                lr,
                alpha=betas[1],
                eps=eps,
                eps_root=eps_root,
                momentum=momentum,
                weight_decay=weight_decay,
            )
        case "adam" | "adamw":
            return adam(
                lr,
                betas=betas,
                eps=eps,
                eps_root=eps_root,
                weight_decay=weight_decay,
                decoupled=name == "adamw",
            )
    raise GameError(f"There is no optimizer {name!r}; there are {list(get_args(Name))}.")


def _at(rate: Rate, move: int) -> float:
    return rate(move) if callable(rate) else rate


def _describe(rate: Rate) -> object:
    return getattr(rate, "__name__", repr(rate)) if callable(rate) else rate


def _zeros(params: Tensors, slot: str) -> Slots:
    return {f"{slot}/{name}": torch.zeros_like(param) for name, param in params.items()}


def _decayed(grad: Tensor, param: Tensor, weight_decay: float) -> Tensor:
    return torch.add(grad, param, alpha=weight_decay) if weight_decay else grad


def _root(square: Tensor, eps_root: float) -> Tensor:
    """The root of `square + eps_root`, with derivative 0 instead of infinity near 0.

    There the gradient and its mean are 0 as well, so the product rule's other factor is 0
    and the true derivative of the step has no contribution from the root.
    """
    if eps_root:
        return (square + eps_root).sqrt()
    return square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()


def _require(name: str, value: Rate, *, low: float, high: float | None = None) -> None:
    if callable(value):
        return
    if value < low or (high is not None and value >= high):
        bound = f"at least {low}" if high is None else f"in [{low}, {high})"
        raise GameError(f"`{name}` must be {bound}, got {value!r}.")
