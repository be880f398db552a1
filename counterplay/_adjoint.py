"""Backwards: carry the metric's cotangent through the recorded run.

What falls out along the weights is the derivative of the metric with respect to the weight
of every instance, for all instances in one sweep. Adjoints are interchangeable objects.

The derivation: with states s_{t+1} = step(s_t, w) and a metric V(s_T), the cotangent
u_T = dV/ds_T is carried by u_t = (d step / d s_t)^T u_{t+1}, and
dV/dw = sum_t (d step / d w)^T u_{t+1}.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from counterplay import _rng
from counterplay._step import by_transform, detached, step
from counterplay._trajectory import (
    draw,
    layer_noise,
    Plan,
    recorded_move,
    Trajectory,
    weights_of,
)
from counterplay.errors import TraceError
from counterplay.game import Columns, Game, State
from counterplay.typing import Tensors


Progress = Callable[[int, int], None]  # moves done, moves in all


class AbstractAdjoint(ABC):
    """How the derivative of the final state with respect to the weights is computed."""

    @abstractmethod
    def gradients(
        self,
        game: Game,
        data: Columns,
        trajectory: Trajectory,
        cotangents: Sequence[Tensors],
        on_move: Progress | None = None,
    ) -> Tensor:
        """The derivative of several metrics with respect to the weights.

        Args:
            game: The game.
            data: The training set of the run.
            trajectory: The run.
            cotangents: Per metric, its derivative with respect to the final state's
                tensors, under the names of `State.tensors`; tensors left out count as 0.
            on_move: Called with the moves done and the moves in all.

        Returns:
            Shape `(n_metrics, n)`, float64; NaN for instances that were not traced.
        """


class Tape:
    """One move with its graph, ready to be pulled back."""

    def __init__(self, game: Game, data: Columns, plan: Plan, state: State):
        self.before = detached(state, requires_grad=True)
        batch, noise = draw(game, data, plan, state)
        self.index = batch.index
        self.weights = weights_of(plan, batch, state).requires_grad_()
        with torch.enable_grad(), layer_noise(game, plan, state.step):
            self.after, _ = step(game, self.before, batch, noise, self.weights)

    def pull(self, cotangent: Tensors, *, keep: bool) -> tuple[Tensors, Tensor]:
        """The cotangent before the move, and the derivative by the batch's weights."""
        outputs = {
            name: tensor
            for name, tensor in self.after.tensors().items()
            if name in cotangent and tensor.requires_grad
        }
        inputs = {k: v for k, v in self.before.tensors().items() if v.requires_grad}
        grads = torch.autograd.grad(
            list(outputs.values()),
            [*inputs.values(), self.weights],
            [cotangent[name] for name in outputs],
            retain_graph=keep,
            allow_unused=True,
        )
        pulled = {k: g for k, g in zip(inputs, grads[:-1], strict=True) if g is not None}
        by_weight = torch.zeros_like(self.weights) if grads[-1] is None else grads[-1]
        return pulled, by_weight.detach().double().cpu()


@dataclass(frozen=True)
class Unroll(AbstractAdjoint):
    """The exact derivative, by reverse mode through every recorded move.

    All of the state takes part: parameters, buffers, optimizer memory, moving averages.
    Source: Hara, Nitanda, Maehara 2019, arXiv 1906.08473 (one model); Terashita et al.
    2021, arXiv 2101.08367, eq. 6-8 (two players).
    Error: none but rounding at `last=None`; `last=K` leaves out what the moves before the
    last K contributed.

    Attributes:
        last: Moves to go back, or None for all of them.
        tape: Moves whose graphs are held at once. More needs more memory and replays less:
            from the checkpoint spacing on, no move is played twice.
    """

    last: int | None = None
    tape: int = 1

    def gradients(self, game, data, trajectory, cotangents, on_move=None):
        """See `AbstractAdjoint.gradients`."""
        tapes = _Tapes(game, data, trajectory, self.last, self.tape)
        return _sweep(tapes, cotangents, carried=True, on_move=on_move)


@dataclass(frozen=True)
class FirstOrder(AbstractAdjoint):
    """The direct effect of each move, with the cotangent frozen at the end of the run.

    Source: Pruthi et al. 2020, arXiv 2002.08484 (TracIn), at every recorded move.
    Error: leaves out how one move's effect changes the later ones. Nothing travels between
    players, so a metric of the generator has no first-order influence at all; that case is
    refused.

    Attributes:
        last: Moves to go back, or None for all of them.
    """

    last: int | None = None

    def gradients(self, game, data, trajectory, cotangents, on_move=None):
        """See `AbstractAdjoint.gradients`.

        Raises:
            TraceError: If a metric depends on no player that reads data.
        """
        reading = [f"params/{player}/" for player in game.readers]
        for cotangent in cotangents:
            if not any(name.startswith(tuple(reading)) for name in cotangent):
                raise TraceError(
                    "`FirstOrder` carries nothing between players, and the metric depends "
                    f"on none of {list(game.readers)}, who read the data: every influence "
                    "would be 0. Use `Unroll()` or `Implicit()`."
                )
        tapes = _Tapes(game, data, trajectory, self.last, held=1)
        return _sweep(tapes, cotangents, carried=False, on_move=on_move)


@dataclass(frozen=True)
class _Tapes:
    """The last moves of a run, from the end back to `start`, each with its graph."""

    game: Game
    data: Columns
    trajectory: Trajectory
    last: int | None
    held: int

    @property
    def start(self) -> int:
        """The earliest move.

        Raises:
            TraceError: If it lies before the run, or no graph may be held.
        """
        if self.held < 1:
            raise TraceError(
                f"`tape` is the number of moves held at once, at least 1, got {self.held}."
            )
        n_steps = self.trajectory.n_steps
        if self.last is not None and not 0 < self.last <= n_steps:
            raise TraceError(
                f"`last` must be between 1 and the {n_steps} moves of the run, got "
                f"{self.last}."
            )
        return 0 if self.last is None else n_steps - self.last

    def __iter__(self) -> Iterator[Tape]:
        game, data, trajectory, start = self.game, self.data, self.trajectory, self.start
        trajectory.require(data, start)
        first = max(kept for kept in trajectory.checkpoints if kept <= start)
        bounds = sorted(kept for kept in trajectory.checkpoints if kept >= first)
        for lower, upper in reversed(list(itertools.pairwise(bounds))):
            chunks = range(max(lower, start), upper, self.held)
            states = {lower: trajectory.checkpoints[lower]}
            for state in trajectory.replay(game, data, lower, chunks[-1]):
                if state.step in chunks:
                    states[state.step] = state
            for begin in reversed(chunks):
                tapes, state = [], states.pop(begin)
                for _ in range(begin, min(begin + self.held, upper)):
                    tapes.append(Tape(game, data, trajectory.plan, state))
                    state = detached(tapes[-1].after)
                trajectory.check_nearly(state)
                while tapes:
                    yield tapes.pop()


def _sweep(
    tapes: _Tapes, cotangents: Sequence[Tensors], *, carried: bool, on_move: Progress | None
) -> Tensor:
    """Pull every cotangent through the moves; without `carried`, each meets the first."""
    n_steps, start = tapes.trajectory.n_steps, tapes.start
    gradients = torch.zeros(len(cotangents), len(tapes.data), dtype=torch.float64)
    current = list(cotangents)
    for tape in tapes:
        for i, cotangent in enumerate(current):
            pulled, by_weight = tape.pull(cotangent, keep=i + 1 < len(current))
            gradients[i].index_add_(0, tape.index, by_weight)
            if carried:
                current[i] = pulled
        if on_move is not None:
            on_move(n_steps - tape.before.step, n_steps - start)
    return gradients


@dataclass(frozen=True)
class Implicit(AbstractAdjoint):
    """The derivative of a fixed point, from the final state alone.

    The run is taken to have reached a fixed point of its expected move. The Neumann series
    sum_k (A^T)^k u of the transposed move A is summed over `depth` fresh batches, then met
    once with the direct effect of every instance.
    Source: Terashita, Ohashi, Hara 2025, arXiv 2504.00603 (AID).
    Error: a GAN that still moves has no such point; the series converges only where the
    move contracts. `damping` shrinks each term by that share.

    Attributes:
        depth: Terms of the series.
        damping: Share by which each further term is shrunk.
        seed: Determines the fresh batches.
    """

    depth: int = 1_000
    damping: float = 0.0
    seed: int = 0

    def gradients(self, game, data, trajectory, cotangents, on_move=None):
        """See `AbstractAdjoint.gradients`.

        Raises:
            TraceError: If the options make no sense, nothing reads data, or it grows.
        """
        if self.depth < len(game.schedule) or not 0 <= self.damping < 1:
            raise TraceError(
                f"`depth` must be at least {len(game.schedule)}, one round of moves, and "
                f"`damping` in [0, 1), got {self.depth!r} and {self.damping!r}."
            )
        trajectory.require(data, trajectory.n_steps)
        plan = replace(trajectory.plan, seed=_rng.derive(self.seed, "implicit"))
        reading = _moves_that_read_all(game, plan, trajectory.n_steps)
        n_moves, done = self.depth + len(reading), 0
        advance = on_move or (lambda done, total: None)
        terms, sums = list(cotangents), [{} for _ in cotangents]
        for move in reversed(range(trajectory.n_steps, trajectory.n_steps + self.depth)):
            tape = Tape(game, data, plan, replace(trajectory.final, step=move))
            for i, term in enumerate(terms):
                if game.reads(move):
                    sums[i] = _plus(sums[i], term)
                pulled, _ = tape.pull(term, keep=i + 1 < len(terms))
                terms[i] = {k: (1 - self.damping) * v for k, v in pulled.items()}
            advance(done := done + 1, n_moves)
        for cotangent, term in zip(cotangents, terms, strict=True):
            self._require_convergence(cotangent, term)
        gradients = torch.zeros(len(cotangents), len(data), dtype=torch.float64)
        unread = torch.ones(len(data), dtype=torch.bool)
        for move in reading:
            tape = Tape(game, data, plan, replace(trajectory.final, step=move))
            new = unread[tape.index]
            for i, sum_ in enumerate(sums):
                _, by_weight = tape.pull(sum_, keep=i + 1 < len(sums))
                gradients[i, tape.index[new]] = by_weight[new]
            unread[tape.index] = False
            advance(done := done + 1, n_moves)
        # One reading move of so many reads a given instance.
        return gradients / plan.batches_per_epoch

    def _require_convergence(self, first: Tensors, last: Tensors) -> None:
        before, after = _size(first), _size(last)
        if not after <= before:  # NaN too
            raise TraceError(
                f"The series of `Implicit(depth={self.depth}, damping={self.damping})` "
                f"diverges: its terms grow from {before:.3g} to {after:.3g}, so the final "
                "state is no attracting fixed point. Raise `damping` (try 0.01), lower "
                "`depth`, or use `Unroll()`."
            )


@dataclass(frozen=True)
class ForwardMode(AbstractAdjoint):
    """The exact derivative for a few instances, by tangents carried along the run.

    Source: Griewank and Walther 2008, chapter 3. Error: none but rounding. Costs one more
    run per instance; memory does not grow with the number of moves.

    Attributes:
        instances: Rows of the training set to trace.
        start: First move at which their weights count.
    """

    instances: tuple[int, ...]
    start: int = 0

    def gradients(self, game, data, trajectory, cotangents, on_move=None):
        """See `AbstractAdjoint.gradients`.

        Raises:
            TraceError: If an instance does not exist.
        """
        rows = torch.tensor(self.instances, dtype=torch.int64)
        if not len(rows) or int(rows.min()) < 0 or int(rows.max()) >= len(data):
            raise TraceError(
                f"`instances` must name rows from 0 to {len(data) - 1}, at least one, got "
                f"{self.instances}."
            )
        state = trajectory.state_at(game, data, self.start)
        tangents = {
            name: value.new_zeros(len(rows), *value.shape)
            for name, value in state.tensors().items()
            if value.is_floating_point()
        }
        while state.step < trajectory.n_steps:
            tangents, state = _push(game, data, trajectory.plan, state, tangents, rows)
            trajectory.check(state)
            if on_move is not None:
                on_move(state.step - self.start, trajectory.n_steps - self.start)
        gradients = torch.full((len(cotangents), len(data)), torch.nan, dtype=torch.float64)
        for i, cotangent in enumerate(cotangents):
            by_row = torch.zeros(len(rows), dtype=torch.float64)
            for name, value in cotangent.items():
                products = (tangents[name] * value).reshape(len(rows), -1)
                by_row += products.sum(1).double().cpu()
            gradients[i, rows] = by_row
        return gradients


def _push(
    game: Game, data: Columns, plan: Plan, state: State, tangents: Tensors, rows: Tensor
) -> tuple[Tensors, State]:
    """The tangents and the state after one more move."""
    batch, noise = draw(game, data, plan, state)
    weights = weights_of(plan, batch, state)
    everything = state.tensors()

    def moved(floating: Tensors, weights: Tensor) -> Tensors:
        before = state.with_tensors({**everything, **floating})
        after, _ = step(game, before, batch, noise, weights, gradient=by_transform)
        return {name: after.tensors()[name] for name in tangents}

    def push(tangent: Tensors, along: Tensor) -> Tensors:
        point = {name: everything[name] for name in tangents}
        return torch.func.jvp(moved, (point, weights), (tangent, along))[1]

    chosen = (batch.index[None, :] == rows[:, None]).to(weights)
    with torch.no_grad():
        with layer_noise(game, plan, state.step):
            pushed = torch.func.vmap(push, randomness="same")(tangents, chosen)
        after, _ = recorded_move(game, data, plan, state)
    return pushed, after


def _moves_that_read_all(game: Game, plan: Plan, start: int) -> list[int]:
    """The moves that read every instance, from the first epoch that begins after `start`.

    An epoch drops the remainder of a division into batches; later epochs bring it.

    Raises:
        TraceError: If no move reads anything.
    """
    if not game.readers:
        raise TraceError(
            "No player reads instances (`readers` of the game is empty), so no instance "
            "has an influence. Name the players whose loss reads the batch in `readers`."
        )
    move = start
    while game.n_reads(move) % plan.batches_per_epoch:
        move += 1
    moves, unread = [], torch.ones(plan.n_instances, dtype=torch.bool)
    while unread.any():
        if game.reads(move):
            moves.append(move)
            unread[plan.index(game.n_reads(move))] = False
        move += 1
    return moves


def _plus(left: Tensors, right: Tensors) -> Tensors:
    both = left.keys() & right.keys()
    return {**left, **right, **{name: left[name] + right[name] for name in both}}


def _size(cotangent: Tensors) -> float:
    """The norm by parameters and their averages; optimizer memory has other units."""
    parts = [v for k, v in cotangent.items() if k.startswith(("params/", "averages/"))]
    return math.sqrt(sum(float(part.double().square().sum()) for part in parts))
