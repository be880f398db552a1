"""Slow, obvious references, written another way than the engine."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from counterplay._retrain import retrain
from counterplay._step import detached, step
from counterplay._trajectory import draw, layer_noise, Plan, Trajectory
from counterplay.game import Columns, Game
from counterplay.metrics.target import Target


def unrolled(game: Game, data: Columns, plan: Plan, n_steps: int, metric: Target) -> Tensor:
    """The derivative of a metric by every weight, by one graph over all moves of a run."""
    weights = plan.weights.clone().requires_grad_()
    state = game.initial()
    while state.step < n_steps:
        batch, noise = draw(game, data, plan, state)
        with layer_noise(game, plan, state.step):
            state, _ = step(game, state, batch, noise, weights[batch.index])
    _, cotangent = metric.cotangent(detached(state))
    outputs = {
        k: v for k, v in state.tensors().items() if k in cotangent and v.requires_grad
    }
    return torch.autograd.grad(
        list(outputs.values()), weights, [cotangent[name] for name in outputs]
    )[0]


def finite_difference(
    game: Game,
    data: Columns,
    run: Trajectory,
    metric: Target,
    instance: int,
    h: float = 1e-4,
) -> float:
    """The derivative of a metric by one weight, by retraining with two other weights."""

    def value(change: float) -> float:
        weights = run.plan.weights.clone()
        weights[instance] += change
        return metric.value(retrain(game, data, run, weights=weights).final)

    return (value(h) - value(-h)) / (2 * h)


def ridge_effects(
    data: Columns, direction: Tensor, weights: Tensor, decay: float
) -> Tensor:
    """The derivative of `direction . slopes` by every weight of a ridge regression.

    The minimum solves `A slopes = X' W y / n` with `A = X' W X / n + decay`; its derivative
    by weight j is `A^-1 x_j (y_j - x_j . slopes) / n`.
    """
    x, y, n = data["x"], data["y"], len(data)
    matrix = x.T @ (weights[:, None] * x) / n + decay * torch.eye(x.shape[1], dtype=x.dtype)
    slopes = torch.linalg.solve(matrix, x.T @ (weights * y) / n)
    return (x @ torch.linalg.solve(matrix, direction)) * (y - x @ slopes) / n


# The rules of `cases.OPTIMIZERS`: (param, gradient, memory, earlier updates) -> param.


def _sgd(param, grad, memory, count):
    return param - 0.1 * grad


def _momentum(param, grad, memory, count):
    memory["v"] = 0.9 * memory.get("v", 0.0) + grad
    return param - 0.1 * memory["v"]


def _nesterov(param, grad, memory, count):
    grad = grad + 0.05 * param
    memory["v"] = 0.8 * memory.get("v", 0.0) + grad
    return param - 0.1 * (grad + 0.8 * memory["v"])


def _rmsprop(param, grad, memory, count):
    memory["s"] = 0.9 * memory.get("s", 0.0) + 0.1 * grad**2
    return param - 0.02 * grad / ((memory["s"] + 1e-4) ** 0.5 + 1e-8)


def _adam(param, grad, memory, count):
    memory["m"] = 0.5 * memory.get("m", 0.0) + 0.5 * grad
    memory["s"] = 0.9 * memory.get("s", 0.0) + 0.1 * grad**2
    mean = memory["m"] / (1 - 0.5 ** (count + 1))
    square = memory["s"] / (1 - 0.9 ** (count + 1))
    return param - 0.02 * mean / ((square + 1e-4) ** 0.5 + 1e-8)


def _adamw(param, grad, memory, count):
    return _adam(param - 0.02 * 0.1 * param, grad, memory, count)


RULES = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adamw,
}


class HandmadeGan:
    """The non-saturating GAN of `cases.gan` again: plain tensors, formulas, no engine.

    Only the first parameters, the batches and the noise are taken from the game. Every
    tensor it ends with depends on `weights` through one graph.
    """

    def __init__(
        self,
        game: Game,
        rule: Callable[[Tensor, Tensor, dict, int], Tensor],
        weights: Tensor,
        *,
        spectral: bool = False,
        batch_norm: bool = False,
        gradient_penalty: float = 0.0,
        ema_halflife: float | None = None,
    ):
        self.start = start = game.initial()
        self.rule, self.weights = rule, weights
        self.penalty, self.batch_norm = gradient_penalty, batch_norm
        self.params = {player: _plain(start.params[player]) for player in "GD"}
        self.memory = {p: {name: {} for name in self.params[p]} for p in "GD"}
        self.count = {"G": 0, "D": 0}
        self.vectors = _vectors(start) if spectral else {}
        self.last = 3 if batch_norm else 2  # the layer that makes the samples
        buffers = start.buffers["G"]
        self.running = (buffers.get("1.running_mean"), buffers.get("1.running_var"))
        self._entering, self._leaving = self.vectors, self.running
        self.decay = 0.5 ** (1 / ema_halflife) if ema_halflife else 0.0
        self.average = self.params["G"]

    def play(self, game: Game, data: Columns, plan: Plan, n_steps: int) -> None:
        """All moves of a run."""
        for move in range(n_steps):
            movers = game.schedule[move % len(game.schedule)]
            batch, noise = draw(game, data, plan, replace(self.start, step=move))
            moved = {
                p: self._move(p, batch.index, batch.columns["x"], noise) for p in movers
            }
            for player, (params, memory) in moved.items():
                self.params[player], self.memory[player] = params, memory
                self.count[player] += 1
            if "D" in movers and self.vectors:
                self.vectors = self._entering
            if "G" in movers:
                self.running = self._leaving
                self.average = {
                    name: self.decay * self.average[name] + (1 - self.decay) * param
                    for name, param in self.params["G"].items()
                }

    def _move(self, player: str, index: Tensor, x: Tensor, noise: Mapping[str, Tensor]):
        # Copies, because a player's own gradient does not pass through the other's history.
        own = {name: param.clone() for name, param in self.params[player].items()}
        if player == "D":
            self._entering = {k: _iterate(own[k], *uv) for k, uv in self.vectors.items()}
            used = self._normalised(own, self._entering)
            fake, _ = self._generate(self.params["G"], noise["z"])
            loss = self._loss_d(used, x, fake, self.weights[index], noise.get("mix"))
        else:
            used = own
            fake, self._leaving = self._generate(own, noise["z"])
            score = _score(self._normalised(self.params["D"], self.vectors), fake)
            loss = softplus(-score).sum() / len(fake)
        grads = torch.autograd.grad(loss, list(used.values()), create_graph=True)
        grads = dict(zip(used, grads, strict=True))
        if player == "D":
            for name, (u, v) in self._entering.items():
                # Miyato et al. 2018, eq. 12: the derivative through W / (u' W v).
                slope = (grads[name] * used[name]).sum()
                sigma = u @ own[name] @ v
                grads[name] = (grads[name] - slope * torch.outer(u, v)) / sigma
        memory = {name: dict(slot) for name, slot in self.memory[player].items()}
        params = {
            name: self.rule(param, grads[name], memory[name], self.count[player])
            for name, param in own.items()
        }
        return params, memory

    def _loss_d(self, D, real, fake, weights, mix):
        loss = (weights * softplus(-_score(D, real))).sum() / len(real)
        loss = loss + softplus(_score(D, fake)).sum() / len(fake)
        if self.penalty:
            point = mix[:, None] * real + (1 - mix[:, None]) * fake
            hidden = torch.tanh(point @ D["0.weight"].T + D["0.bias"])
            slope = ((1 - hidden**2) * D["2.weight"]) @ D["0.weight"]
            squares = ((slope**2).sum(1) ** 0.5 - 1) ** 2
            loss = loss + self.penalty * (weights * squares).sum() / len(real)
        return loss

    def _normalised(self, D, vectors):
        return {
            name: param / (vectors[name][0] @ param @ vectors[name][1])
            if name in vectors
            else param
            for name, param in D.items()
        }

    def _generate(self, G, z):
        hidden, running = z @ G["0.weight"].T + G["0.bias"], None
        if self.batch_norm:
            mean, n = hidden.sum(0) / len(z), len(z)
            var = ((hidden - mean) ** 2).sum(0) / n
            running = (
                0.9 * self.running[0] + 0.1 * mean,
                0.9 * self.running[1] + 0.1 * var * n / (n - 1),
            )
            hidden = (hidden - mean) / (var + 1e-5) ** 0.5 * G["1.weight"] + G["1.bias"]
        return torch.tanh(hidden) @ G[f"{self.last}.weight"].T + G[
            f"{self.last}.bias"
        ], running

    def sample(self, z: Tensor) -> Tensor:
        """What the averaged generator makes of latents, in evaluation mode."""
        G = self.average
        hidden = z @ G["0.weight"].T + G["0.bias"]
        if self.batch_norm:
            mean, var = self.running
            hidden = (hidden - mean) / (var + 1e-5) ** 0.5 * G["1.weight"] + G["1.bias"]
        return torch.tanh(hidden) @ G[f"{self.last}.weight"].T + G[f"{self.last}.bias"]


def _score(D, x):
    return (torch.tanh(x @ D["0.weight"].T + D["0.bias"]) @ D["2.weight"].T)[:, 0] + D[
        "2.bias"
    ]


def _iterate(weight, u, v):
    del u
    u = weight @ v
    u = u / (u @ u) ** 0.5
    v = weight.T @ u
    return u, v / (v @ v) ** 0.5


def _plain(params):
    return {
        name.replace(
            "parametrizations.weight.original", "weight"
        ): value.clone().requires_grad_()
        for name, value in params.items()
    }


def _vectors(state):
    buffers = state.buffers["D"]
    return {
        f"{layer}.weight": (
            buffers[f"{layer}.parametrizations.weight.0._u"],
            buffers[f"{layer}.parametrizations.weight.0._v"],
        )
        for layer in (0, 2)
    }
