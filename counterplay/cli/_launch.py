"""What verbs do differently when `torchrun` has started several processes."""

import contextlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from counterplay.cli._folder import RunFolder
from counterplay.errors import ConfigError, RunError
from counterplay.ranks import launched, Ranks


_NONE = "."  # in place of a folder
SHARED = ("play", "trace")  # the verbs that several processes do together


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the others; only the first rank prints.

    Yields:
        The ranks; a single one without `torchrun`.
    """
    with Ranks.joined() as ranks, contextlib.ExitStack() as quiet:
        if not ranks.is_first:
            quiet.enter_context(contextlib.redirect_stdout(io.StringIO()))
            quiet.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield ranks


def begun(ranks: Ranks, begin: Callable[[], RunFolder | None]) -> RunFolder | None:
    """The folder that the first rank begins, for all; None if there is none.

    Raises:
        RunError: If the run was begun by another number of ranks.
    """
    own: dict[str, RunFolder] = {}

    def name() -> str:
        folder = begin()
        if folder is None:
            return _NONE
        own[str(folder.path)] = folder
        return str(folder.path)

    path = ranks.told(name)
    if path == _NONE:
        return None
    folder = own.get(path) or RunFolder.open(Path(path))
    played = folder.facts.get("ranks", 1)
    if played != ranks.size:
        started = (
            "without torchrun"
            if played == 1
            else f"with `torchrun --nproc-per-node {played}`"
        )
        raise RunError(
            f"The run {path!r} is one of {played} processes and cannot go on with "
            f"{ranks.size}: sums over other parts of a batch have other last digits. Start "
            f"it {started}."
        )
    return folder


@contextmanager
def opened(ranks: Ranks, path: Path) -> Iterator[RunFolder]:
    """A run folder that the first rank alone writes.

    Yields:
        The folder.
    """
    folder = begun(ranks, lambda: RunFolder.open(path))
    assert folder is not None
    with folder.locked() if ranks.is_first else contextlib.nullcontext():
        yield folder


def require_alone(verb: str) -> None:
    """Refuse to do several times what one process does.

    Raises:
        ConfigError: If `torchrun` has started several.
    """
    if verb not in SHARED and launched():
        raise ConfigError(
            f"`counterplay {verb}` is done by one process, but torchrun has started "
            f"several, each of which would do all of it. Only {list(SHARED)} share their "
            "work; start this one without torchrun."
        )
