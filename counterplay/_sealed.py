"""JSON that shows when it was damaged: every object carries a checksum of itself.

Files that are written whole are sealed as a whole, and files that grow are sealed line by
line, so that what a crash cut off or a disk changed is told from what was written.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterplay.errors import RunError


CHECKSUM = "checksum"


def checksum(entry: Mapping[str, Any]) -> str:
    """A hash of the values of an object, in whatever order and layout they are written."""
    text = json.dumps(entry, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def seal(value: Any) -> Any:
    """Add a checksum to an object, or to every object of a list."""
    if isinstance(value, list):
        return [seal(entry) for entry in value]
    return {**value, CHECKSUM: checksum(value)}


def unseal(value: Any) -> Any:
    """Take the checksums off again; what was written before there were any has none.

    Raises:
        ValueError: If an object is not what was sealed.
    """
    if isinstance(value, list):
        return [unseal(entry) for entry in value]
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")
    name = CHECKSUM if CHECKSUM in value else next(reversed(value), None)
    entry = {key: part for key, part in value.items() if key != name}
    if name is not None and value[name] == checksum(entry):
        return entry  # if under another name, that name is what was damaged
    if name == CHECKSUM:
        raise ValueError("its checksum does not fit")
    return value


def dumps(value: Any) -> str:
    """An object or a list of objects as sealed JSON text; arrays become lists."""
    return json.dumps(seal(json.loads(json.dumps(value, default=_plain))), indent=1)


def loads(content: bytes) -> Any:
    """What `dumps` wrote.

    Raises:
        ValueError: If it is damaged.
    """
    return unseal(json.loads(content))


def line_of(entry: Mapping[str, Any]) -> bytes:
    """A sealed object as one line."""
    return json.dumps(seal(entry)).encode() + b"\n"


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a sealed object to a file of JSON lines, and wait until the disk has it.

    Raises:
        RunError: If the disk is full or the file cannot be written.
    """
    line = line_of(entry)
    try:
        with path.open("ab+", buffering=0) as file:
            _mend_tail(file)
            if file.write(line) != len(line):
                file.write(line)  # says why there was no room
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(
            f"{str(path)!r} could not be written: {error.strerror or error}. Everything "
            "written before is intact; free some space, then use `--resume`."
        ) from error


def _mend_tail(file: Any) -> None:
    """End the last line; what a crash left of one is cut off."""
    if file.tell() == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    head, _, tail = file.read().rpartition(b"\n")
    if _entry(tail) is None:
        file.truncate(len(head) + 1 if head else 0)
    else:
        file.write(b"\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; empty if it is not there.

    A last line that a crash cut off is left out; another that is damaged too, with a
    warning.
    """
    if not path.exists():
        return []
    *lines, tail = path.read_bytes().split(b"\n")
    entries = [_entry(line) for line in lines]
    damaged = [i + 1 for i, entry in enumerate(entries) if entry is None and lines[i]]
    if damaged:
        warnings.warn(
            f"{str(path)!r} is damaged in lines {damaged}, which are left out. What they "
            "held is computed again where it is needed.",
            stacklevel=2,
        )
    return [entry for entry in (*entries, _entry(tail)) if entry is not None]


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = unseal(json.loads(line))
    except ValueError:  # bytes that are no text, too
        return None
    return found if isinstance(found, dict) else None


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
