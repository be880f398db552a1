"""The moves of a recorded run from the last to the first, each with its graph."""

import itertools
from collections.abc import Iterator

from counterplay._kinks import Kinks
from counterplay._memory import in_bytes, Layout, layout, next_kept
from counterplay._step import detached
from counterplay._tape import graph_bytes, Tape
from counterplay._trajectory import Trajectory
from counterplay.game import Columns, Game, State


def backwards(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    *,
    start: int,
    stop: int,
    memory: int | str,
    kinks: Kinks | None = None,
) -> Iterator[Tape]:
    """Walk back from move `stop - 1` to move `start`.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        start: The earliest move.
        stop: The move after the last.
        memory: What states and graphs may take, beside the checkpoints of the run, such as
            `"2GiB"`.
        kinks: Where moves note their kinks, if they are to be seen.

    Yields:
        One tape per move.
    """
    trajectory.require(data, start)
    if start == stop:
        return
    walk = _Walk(game, data, trajectory, in_bytes(memory), kinks)
    first = max(kept for kept in trajectory.checkpoints if kept <= start)
    bounds = sorted(kept for kept in trajectory.checkpoints if kept >= first)
    for lower, upper in reversed(list(itertools.pairwise(bounds))):
        begin = max(lower, start)
        if begin < stop:
            state = trajectory.state_at(game, data, begin)
            yield from walk.segment(state, upper, min(upper, stop))


class _Walk:
    """Walks back through one segment of the run after another."""

    def __init__(
        self,
        game: Game,
        data: Columns,
        trajectory: Trajectory,
        memory: int,
        kinks: Kinks | None,
    ):
        self.game, self.data, self.trajectory = game, data, trajectory
        self.memory, self.kinks = memory, kinks
        self.graph = graph_bytes(game, data, trajectory.plan, trajectory.final, kinks)

    def segment(self, state: State, end: int, stop: int) -> Iterator[Tape]:
        """Walk from move `stop - 1` back to the one that follows `state`.

        The pieces are those of a walk from the end of the segment, wherever this one
        begins: kernels that keep a graph may round differently, and a walk that goes on
        after an interruption shall meet the same bits.

        Yields:
            One tape per move.
        """
        n_moves = end - state.step
        way = layout(n_moves, state=state.n_bytes, graph=self.graph, memory=self.memory)
        kept = [state]
        while kept:
            n_pieces = -(-(stop - kept[-1].step) // way.held)
            if n_pieces == 1:
                begin = kept.pop()
                yield from self._piece(begin, stop)
                stop = begin.step
            else:
                kept.append(self._on(kept[-1], n_pieces, way, len(kept) - 1))

    def _on(self, state: State, n_pieces: int, way: Layout, n_kept: int) -> State:
        """The next state to keep."""
        n_moves = next_kept(n_pieces, way.kept - n_kept) * way.held
        return self.trajectory.replay(self.game, self.data, state, state.step + n_moves)

    def _piece(self, state: State, stop: int) -> Iterator[Tape]:
        tapes: list[Tape] = []
        plan = self.trajectory.plan
        while state.step < stop:
            tapes.append(Tape(self.game, self.data, plan, state, self.kinks))
            state = detached(tapes[-1].after)
        self.trajectory.check_nearly(state)
        while tapes:
            yield tapes.pop()
