"""One writer per folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from counterplay.errors import RunError


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process ends, however it ends.

    Args:
        path: The file, `lock` in the folder that is written.
        wait: Whether to wait for another process instead of giving up.

    Yields:
        Nothing.

    Raises:
        RunError: If another process holds it, or nobody can.
    """
    lock = _taken(path, wait)
    try:
        with suppress(OSError):  # a full disk has no room for who it is
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        with suppress(OSError):  # read-only by now; the lock is free all the same
            path.unlink()
        os.close(lock)


def _taken(path: Path, wait: bool) -> int:
    """The descriptor of the locked file.

    Raises:
        RunError: If another process holds it, or it cannot be made.
    """
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(
                f"The folder {str(path.parent)!r} cannot be written: {error.strerror}. "
                "What is in it is intact; free some space or make it writable, then repeat "
                "the command."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Its last holder may have deleted the file in between: then it guards nothing.
            if os.fstat(lock).st_nlink:
                return lock
        except BlockingIOError as error:
            os.close(lock)
            raise RunError(
                f"Process {_holder(path)} is writing {str(path.parent)!r}. Wait for it or "
                "stop it, or use another folder."
            ) from error
        os.close(lock)


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text() or "unknown"
    return "unknown"
