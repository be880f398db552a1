"""What a person says of instances, on the disk after every change."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from counterplay._atomic import write_atomically
from counterplay._sealed import dumps, loads
from counterplay.errors import ConfigError, RunError


MARKS = ("remove", "keep", "unsure")
LONGEST_NOTE = 5_000  # characters
N_UNDO = 100  # changes that can be taken back


@dataclass(frozen=True)
class Opinion:
    """What was said of one instance.

    Attributes:
        mark: One of `MARKS`, or empty.
        note: In the person's own words.
    """

    mark: str = ""
    note: str = ""


NONE = Opinion()


_Opinions = Mapping[int, Opinion]  # by row


@dataclass(frozen=True)
class _Change:
    """What was changed, in words, and what was said before."""

    what: str
    before: _Opinions


@dataclass(frozen=True)
class _State:
    revision: int = 0
    opinions: _Opinions = field(default_factory=dict)
    changed: Mapping[int, int] = field(default_factory=dict)  # row: its newest revision
    history: tuple[_Change, ...] = ()


class Marks:
    """The opinions on all instances of a run, and the way back.

    A change gets the next revision and is on the disk before anybody is told of it, so a
    crash loses nothing that was confirmed. Who asks for a change names only what is to be
    changed, so none loses what another one said.
    """

    def __init__(self, path: Path, ids: Sequence[str]):
        self._path, self._ids = path, ids
        self._writing = threading.Lock()
        self._state = _State()
        if path.exists():
            self._state = self._read()

    @property
    def revision(self) -> int:
        """How many changes there were."""
        return self._state.revision

    @property
    def undoable(self) -> str:
        """What `undo` would take back, in words; empty if there is nothing."""
        history = self._state.history
        return history[-1].what if history else ""

    def of(self, row: int) -> Opinion:
        """What is said of an instance."""
        return self._state.opinions.get(row, NONE)

    def rows(self, mark: str) -> list[int]:
        """The instances that have a mark, in the order of the training set."""
        opinions = self._state.opinions
        return sorted(row for row, opinion in opinions.items() if opinion.mark == mark)

    def since(self, revision: int) -> dict[int, Opinion]:
        """The opinions that are newer than a revision."""
        state = self._state
        return {
            row: state.opinions.get(row, NONE)
            for row, when in state.changed.items()
            if when > revision
        }

    def mark(self, rows: Sequence[int], mark: str) -> None:
        """Mark instances, or take their marks away with an empty one.

        Raises:
            ConfigError: If there is no such mark or instance.
        """
        if mark not in ("", *MARKS):
            raise ConfigError(f"A mark is one of {list(MARKS)} or empty, got {mark!r}.")
        self._require_known(rows)
        name = self._ids[rows[0]] if len(rows) == 1 else f"{len(rows):,} instances"
        self._change(
            f"{mark or 'no mark'} for {name}",
            lambda opinions: {
                row: replace(opinions.get(row, NONE), mark=mark) for row in rows
            },
        )

    def note(self, row: int, text: str) -> None:
        """Write a note to an instance, in place of the one it has.

        Raises:
            ConfigError: If there is no such instance, or the note is too long.
        """
        self._require_known([row])
        if len(text) > LONGEST_NOTE:
            raise ConfigError(
                f"A note has at most {LONGEST_NOTE:,} characters, got {len(text):,}."
            )
        text = text.encode(errors="replace").decode()  # halves of characters are no text
        self._change(
            f"note to {self._ids[row]}",
            lambda opinions: {row: replace(opinions.get(row, NONE), note=text)},
        )

    def undo(self) -> str:
        """Take the newest change back.

        Returns:
            What it was, in words; empty if there was none.
        """
        with self._writing:
            state = self._state
            if not state.history:
                return ""
            *history, last = state.history
            self._replace(state, last.before, tuple(history))
            return last.what

    def _change(self, what: str, wanted: Callable[[_Opinions], _Opinions]) -> None:
        with self._writing:
            state = self._state
            new = {
                row: opinion
                for row, opinion in wanted(state.opinions).items()
                if opinion != state.opinions.get(row, NONE)
            }
            if new:
                before = {row: state.opinions.get(row, NONE) for row in new}
                history = (*state.history, _Change(what, before))[-N_UNDO:]
                self._replace(state, new, history)

    def _replace(
        self,
        state: _State,
        new: _Opinions,
        history: tuple[_Change, ...],
    ) -> None:
        revision = state.revision + 1
        opinions = {**state.opinions, **new}
        following = _State(
            revision,
            {row: opinion for row, opinion in opinions.items() if opinion != NONE},
            {**state.changed, **dict.fromkeys(new, revision)},
            history,
        )
        write_atomically(self._path, dumps(self._plain(following)).encode())
        self._state = following

    def _require_known(self, rows: Iterable[int]) -> None:
        unknown = [row for row in rows if not 0 <= row < len(self._ids)]
        if unknown:
            raise ConfigError(
                f"Instances have the rows 0 to {len(self._ids) - 1}, got {unknown[0]}."
            )

    def _plain(self, state: _State) -> dict[str, Any]:
        return {
            "revision": state.revision,
            "instances": self._by_id(state.opinions),
            "undo": [
                {"what": change.what, "before": self._by_id(change.before)}
                for change in state.history
            ],
        }

    def _by_id(self, opinions: _Opinions) -> dict[str, list[str]]:
        return {
            self._ids[row]: [opinion.mark, opinion.note]
            for row, opinion in sorted(opinions.items())
        }

    def _read(self) -> _State:
        rows = {name: row for row, name in enumerate(self._ids)}

        def by_row(opinions: Mapping[str, list[str]]) -> dict[int, Opinion]:
            return {rows[name]: Opinion(*entry) for name, entry in opinions.items()}

        try:
            found = loads(self._path.read_bytes())
            opinions, revision = by_row(found["instances"]), int(found["revision"])
            history = tuple(
                _Change(change["what"], by_row(change["before"]))
                for change in found["undo"]
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{str(self._path)!r} is damaged, or says something of other instances "
                f"({error!r}). Bring it back from a copy, or move it away to begin the "
                "review anew."
            ) from error
        return _State(revision, opinions, dict.fromkeys(opinions, revision), history)
