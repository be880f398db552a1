"""How a walk backwards lives within a memory budget, and what that costs.

Going backwards needs the states in the opposite order of playing. States that do not fit
are played again from the nearest one that was kept; which ones to keep is the binomial
schedule, which plays the fewest moves again.
Source: Griewank and Walther 2000, algorithm 799 (revolve), eq. 1-4.
"""

import math
import re
from dataclasses import dataclass

from counterplay.errors import ConfigError, TraceError


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30}


def in_bytes(size: int | str) -> int:
    """A number of bytes from a number or a text such as `2GiB` or `500 MB`.

    Raises:
        ConfigError: If it is no such size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(size).lower())
    if not found or found[2] not in _UNITS or float(found[1]) == 0:
        raise ConfigError(
            f"`memory` is a number of bytes or a size such as 2GiB or 500MiB, got {size!r}."
        )
    return int(float(found[1]) * _UNITS[found[2]])


def in_words(n_bytes: int) -> str:
    """A number of bytes for people: `1.5 GiB`."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"


def spacing(n_moves: int, *, since: int = 0, state: int, memory: int | str | None) -> int:
    """Moves between the checkpoints of a run.

    Args:
        n_moves: Moves of the run.
        since: The first move that is kept.
        state: Bytes of a state.
        memory: What the checkpoints may take, or None for any number of them.

    Returns:
        The square root of `n_moves`, which keeps both the record and what is played again
        between two checkpoints small, or more if that is too much.

    Raises:
        TraceError: If not even the first and the last state fit.
    """
    usual = max(1, math.isqrt(n_moves))
    if memory is None:
        return usual
    between = in_bytes(memory) // state - 2
    if between < 0:
        raise TraceError(
            f"A budget of {memory!r} is too small for checkpoints: one state takes "
            f"{in_words(state)}, and the first and the last are always kept. Give more "
            "`memory`, or keep the checkpoints on disk."
        )
    return max(usual, math.ceil((n_moves - since) / (between + 1)))


def n_replayed(n: int, kept: int) -> int:
    """The fewest pieces played again to visit `n` pieces backwards.

    Args:
        n: Pieces.
        kept: States that may be kept beside the first one.

    Returns:
        Pieces played without a graph; each piece is then played once more with one.
    """
    sweeps = _sweeps(n, kept)
    return sweeps * n - math.comb(kept + 1 + sweeps, sweeps - 1) if sweeps else 0


def next_kept(n: int, kept: int) -> int:
    """How many of `n` pieces to play before the next state is kept."""
    if not kept:
        return n - 1
    # What lies behind the new state has one state less, what lies before it one sweep less.
    sweeps = _sweeps(n, kept)
    return max(1, n - _reach(kept - 1, sweeps), _reach(kept, sweeps - 2))


def _sweeps(n: int, kept: int) -> int:
    """How often a piece is played again at most."""
    sweeps = 0
    while _reach(kept, sweeps) < n:
        sweeps += 1
    return sweeps


def _reach(kept: int, sweeps: int) -> int:
    """The most pieces that can be visited backwards."""
    return math.comb(kept + 1 + sweeps, sweeps) if sweeps >= 0 else 0


@dataclass(frozen=True)
class Layout:
    """How the moves between two checkpoints are walked backwards.

    Attributes:
        held: Moves whose graphs are held at once.
        kept: States kept beside the first one.
    """

    held: int
    kept: int

    def n_replayed(self, n_moves: int) -> int:
        """Moves played again without a graph, of `n_moves`."""
        return n_replayed(math.ceil(n_moves / self.held), self.kept) * self.held


def layout(n_moves: int, *, state: int, graph: int, memory: int) -> Layout:
    """The layout of least cost within a budget.

    Args:
        n_moves: Moves between two checkpoints.
        state: Bytes of a state.
        graph: Bytes of the graph of a move.
        memory: Bytes there are.

    Raises:
        TraceError: If not even one move at a time fits.
    """
    # The first state, the working state and its cotangent; pulling back one graph makes
    # tensors of about its own size.
    free = memory - 3 * state - graph
    if free < graph:
        needed = 3 * state + 2 * graph
        raise TraceError(
            f"A budget of {in_words(memory)} is too small to trace this game: one state "
            f"takes {in_words(state)} and the graph of one move {in_words(graph)}, so that "
            f"{in_words(needed)} is the least. Give more `memory`, or a smaller batch."
        )
    most = min(n_moves, free // max(graph, 1))
    choices = [
        Layout(held, min((free - held * graph) // state, math.ceil(n_moves / held) - 1))
        for held in sorted({math.ceil(n_moves / parts) for parts in range(1, n_moves + 1)})
        if held <= most
    ]
    return min(choices, key=lambda choice: choice.n_replayed(n_moves))
