"""Where the states of a fit are kept, for fits that may be interrupted."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from counterplay._play import OnStep
from counterplay.game import State


@dataclass(frozen=True)
class Record:
    """Where a fit keeps its states, and who watches it.

    Attributes:
        checkpoints: Kept states by move; a fit goes on after the last of them.
        watch: Called with the number of moves, gives what each move is shown to.
        past: Every loss of each player up to the last of the checkpoints.
    """

    checkpoints: MutableMapping[int, State]
    watch: Callable[[int], OnStep] | None = None
    past: Mapping[str, Sequence[float]] = field(default_factory=dict)


_RECORD: ContextVar[Record | None] = ContextVar("record", default=None)


@contextmanager
def recorded(record: Record) -> Iterator[None]:
    """Let the fits inside keep their states in the record, to be continued from there.

    Yields:
        Nothing.
    """
    token = _RECORD.set(record)
    try:
        yield
    finally:
        _RECORD.reset(token)


def current() -> Record:
    """The record of the fit that is under way: in memory unless `recorded` says else."""
    return _RECORD.get() or Record({})
