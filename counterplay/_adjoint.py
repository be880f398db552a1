"""Backwards: carry the metric's cotangent through the recorded run.

What falls out along the weights is the derivative of the metric with respect to the weight
of every instance, for all instances in one sweep. Adjoints are interchangeable objects.

The derivation: with states s_{t+1} = step(s_t, w) and a metric V(s_T), the cotangent
u_T = dV/ds_T is carried by u_t = (d step / d s_t)^T u_{t+1}, and
dV/dw = sum_t (d step / d w)^T u_{t+1}.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from counterplay import _rng
from counterplay._backwards import backwards
from counterplay._kinks import Kinks
from counterplay._sweep import begin, moves, SweepFile
from counterplay._tape import Tape
from counterplay._trajectory import Plan, Trajectory
from counterplay.errors import TraceError
from counterplay.game import Columns, Game
from counterplay.ranks import SharedGame
from counterplay.typing import Tensors


MEMORY = "1GiB"
N_STRETCHES = 20  # of a run, whose contributions are told apart
OnMove = Callable[[int, int], None]  # moves done, moves in all


class AbstractAdjoint(ABC):
    """How the derivative of the final state with respect to the weights is computed."""

    @abstractmethod
    def gradients(
        self,
        game: Game,
        data: Columns,
        trajectory: Trajectory,
        cotangents: Sequence[Tensors],
        *,
        on_move: OnMove | None = None,
        kept: SweepFile | None = None,
    ) -> Tensor:
        """The derivative of several metrics with respect to the weights.

        Args:
            game: The game.
            data: The training set of the run.
            trajectory: The run.
            cotangents: Per metric, its derivative with respect to the final state's
                tensors, under the names of `State.tensors`; tensors left out count as 0.
            on_move: Called with the moves done and the moves in all.
            kept: Where an interrupted sweep is continued from; those without a sweep
                begin anew.

        Returns:
            Shape `(n_metrics, n_stretches, n)`, float64; NaN for instances that were not
            traced. The stretches are those of `stretches` and sum to the derivative; an
            adjoint that does not go through the run has one.
        """

    def stretches(self, game: Game, trajectory: Trajectory) -> tuple[int, ...]:
        """The first move of each stretch that is told apart, and the end of the last."""
        del game
        return (0, trajectory.n_steps)


@dataclass(frozen=True)
class _Swept(AbstractAdjoint):
    """One that goes back through the recorded moves."""

    last: int | None = None
    memory: int | str = field(default=MEMORY, repr=False)
    carried: ClassVar[bool] = True  # whether cotangents are carried from move to move

    def gradients(self, game, data, trajectory, cotangents, *, on_move=None, kept=None):
        """See `AbstractAdjoint.gradients`.

        Raises:
            TraceError: If `last` lies outside the run.
        """
        n_steps, last = trajectory.n_steps, self.last
        if last is not None and not 0 < last <= n_steps:
            raise TraceError(
                f"`last` must be between 1 and the {n_steps} moves of the run, got {last}."
            )
        start = 0 if last is None else n_steps - last
        trajectory.require(data, start)
        parts = self.stretches(game, trajectory)
        sweep = begin(cotangents, trajectory, repr(self), kept, parts)
        tapes = backwards(
            game, data, trajectory,
            start=start, stop=sweep.move, memory=self.memory, kinks=self._kinks(game),
        )  # fmt: skip
        for move in moves(sweep, tapes, kept, carried=self.carried):
            if on_move is not None:
                on_move(n_steps - move, n_steps - start)
        return sweep.gradients

    def stretches(self, game, trajectory):
        """The traced epochs, joined to at most `N_STRETCHES` of about one length."""
        end = trajectory.n_steps
        start = max(end - (self.last or end), 0)
        n_reads = game.n_reads(end) - game.n_reads(start)
        n = min(N_STRETCHES, max(1, round(n_reads / trajectory.plan.batches_per_epoch)))
        return tuple(start + (end - start) * i // n for i in range(n + 1))

    def _kinks(self, game: Game) -> Kinks | None:
        """Where moves note their kinks, if second derivatives see them."""
        del game
        return None


@dataclass(frozen=True)
class Unroll(_Swept):
    """The exact derivative, by reverse mode through every recorded move.

    All of the state takes part: parameters, buffers, optimizer memory, moving averages.
    Source: Hara, Nitanda, Maehara 2019, arXiv 1906.08473 (one model); Terashita et al.
    2021, arXiv 2101.08367, eq. 6-8 (two players).
    Error: none but rounding at `last=None`; `last=K` leaves out what the moves before the
    last K contributed.

    Attributes:
        last: Moves to go back, or None for all of them.
        memory: What states and graphs may take beside the checkpoints of the run, in bytes
            or such as `"2GiB"`. Less memory plays more moves again, to the same result.
    """


@dataclass(frozen=True)
class Mollified(_Swept):
    """`Unroll`, with the kinks of ReLUs, hinges and absolute values seen.

    A unit that other weights carry across its kink moves the run by a jump, which no
    derivative shows. Here the second derivative of the unit is a bell around the kink in
    place of 0, so that the jumps to expect are part of the influence. The moves of the run
    and their gradients are the same. Where nothing has a kink it equals `Unroll`.
    Source: ours. A bell for the derivative of a jump is known from training networks of
    steps (surrogate gradients: Neftci, Mostafa, Zenke 2019, arXiv 1901.09948).
    Error: over few moves few units cross, and their number differs from the one to expect;
    `verify` says which of both predicts a run better. Maxima and pooling have no bells.

    Attributes:
        last: Moves to go back, or None for all of them.
        memory: What states and graphs may take, as for `Unroll`.
        width: Standard deviation of a bell, as a share of the root mean square of what
            enters the unit.
    """

    width: float = 0.1

    def _kinks(self, game):
        """See `_Swept._kinks`.

        Raises:
            TraceError: If `width` is not above 0, or ranks share the game.
        """
        if isinstance(game, SharedGame):
            raise TraceError(
                "`Mollified` measures units over a whole batch, of which a rank has only a "
                "part. Use `Unroll()` on ranks, or `Mollified` on a run that one process "
                "played."
            )
        if not self.width > 0:
            raise TraceError(
                f"`width` must be above 0, it is that of the bells at the kinks, got "
                f"{self.width!r}. Use 0.1, or `Unroll()` for a derivative without them."
            )
        return Kinks(self.width)


@dataclass(frozen=True)
class FirstOrder(_Swept):
    """The direct effect of each move, with the cotangent frozen at the end of the run.

    Source: Pruthi et al. 2020, arXiv 2002.08484 (TracIn), at every recorded move.
    Error: leaves out how one move's effect changes the later ones. Nothing travels between
    players, so a metric of the generator has no first-order influence at all; that case is
    refused.

    Attributes:
        last: Moves to go back, or None for all of them.
        memory: What states and graphs may take, as for `Unroll`.
    """

    carried: ClassVar[bool] = False

    def gradients(self, game, data, trajectory, cotangents, *, on_move=None, kept=None):
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
        return super().gradients(
            game, data, trajectory, cotangents, on_move=on_move, kept=kept
        )


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

    def gradients(self, game, data, trajectory, cotangents, *, on_move=None, kept=None):
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
        final = trajectory.final
        plan = replace(trajectory.plan, seed=_rng.derive(self.seed, "implicit"))
        reading = _moves_that_read_all(game, plan, trajectory.n_steps)
        n_moves, done = self.depth + len(reading), 0
        advance = on_move or (lambda done, total: None)
        terms: list[Tensors] = list(cotangents)
        sums: list[Tensors] = [{} for _ in cotangents]
        for move in reversed(range(trajectory.n_steps, trajectory.n_steps + self.depth)):
            tape = Tape(game, data, plan, replace(final, step=move))
            if game.reads(move):
                sums = [_plus(sum_, term) for sum_, term in zip(sums, terms, strict=True)]
            terms = [
                {name: (1 - self.damping) * value for name, value in pulled.items()}
                for pulled in tape.pull(terms)[0]
            ]
            advance(done := done + 1, n_moves)
        for cotangent, term in zip(cotangents, terms, strict=True):
            self._require_convergence(cotangent, term)
        gradients = torch.zeros(len(cotangents), len(data), dtype=torch.float64)
        unread = torch.ones(len(data), dtype=torch.bool)
        for move in reading:
            tape = Tape(game, data, plan, replace(final, step=move))
            new = unread[tape.index]
            _, by_weight = tape.pull(sums, carried=False)
            gradients[:, tape.index[new]] = by_weight[:, new]
            unread[tape.index] = False
            advance(done := done + 1, n_moves)
        # One reading move of so many reads a given instance.
        return (gradients / plan.batches_per_epoch)[:, None]

    def _require_convergence(self, first: Tensors, last: Tensors) -> None:
        before, after = _size(first), _size(last)
        if not after <= before:  # NaN too
            raise TraceError(
                f"The series of `Implicit(depth={self.depth}, damping={self.damping})` "
                f"diverges: its terms grow from {before:.3g} to {after:.3g}, so the final "
                "state is no attracting fixed point. Raise `damping` (try 0.01), lower "
                "`depth`, or use `Unroll()`."
            )


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
