"""Files that are there whole or not at all, and the folders they are in."""

import os
from contextlib import suppress
from pathlib import Path

from counterplay.errors import RunError


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        RunError: If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"The folder {str(path)!r} cannot be created: {error.strerror or error}. "
            "Choose a folder you can write."
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that a reader or a crash never meets half of it.

    Raises:
        RunError: If the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise RunError(
            f"{str(path)!r} could not be written: {error.strerror or error}. Everything "
            "written before is intact; free some space or choose another folder, then use "
            "`--resume`."
        ) from error
