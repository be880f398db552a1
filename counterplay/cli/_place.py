"""Making run folders: there whole or not at all, and never over another run."""

import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from counterplay._atomic import write_atomically
from counterplay._lock import locked
from counterplay.errors import RunError


RUNS = Path("runs")
_BEFORE_THE_FIRST_MOVE = {
    "run.toml",
    "model.toml",
    "removed.txt",
    "lock",
    "log.jsonl",
    "reals.png",
    "fakes_000000.png",
    "checkpoints/000000000.safetensors",
}


def place(files: Mapping[str, str], out: Path | None, name: str) -> Path:
    """Move a folder with its first files into place: it is there whole or not at all.

    Raises:
        RunError: If it cannot be written, or something is there.
    """
    parent = RUNS if out is None else out.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep_drafts(parent)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    except OSError as error:
        raise RunError(_unwritable(parent, error)) from error
    draft.chmod(0o755)
    try:
        for file, text in files.items():
            write_atomically(draft / file, text.encode())
    except RunError as error:  # it names the draft, which nobody knows
        shutil.rmtree(draft)
        raise RunError(_unwritable(parent, error.__cause__ or error)) from error
    if out is not None:
        try:
            _clear_unbegun(out)
            draft.replace(out)
        except RunError:  # another process writes there
            shutil.rmtree(draft)
            raise
        except OSError as error:
            shutil.rmtree(draft)
            raise RunError(
                f"There is something in {str(out)!r} already. Continue it with `--resume`, "
                "delete it, or choose another `--out`."
            ) from error
        return out
    while True:
        path = parent / f"{_next_number(parent):04d}-{name}"
        try:
            draft.replace(path)
        except OSError:  # another process was faster
            continue
        return path


def _clear_unbegun(folder: Path) -> None:
    """Delete what failed before its first move, so that it can begin anew."""
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not is_temporary(path)
    }
    if {"run.toml", "model.toml"} & found and found <= _BEFORE_THE_FIRST_MOVE:
        with locked(folder / "lock"):
            shutil.rmtree(folder)


def is_temporary(path: Path) -> bool:
    """Whether a file is what a write that was interrupted has left."""
    return path.name.startswith(".") and path.suffix[1:].isdigit() and path.is_file()


def _unwritable(parent: Path, error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or error
    return (
        f"The folder {str(parent)!r} cannot be written: {reason}. Free some space, or "
        "choose another place with `--out`."
    )


def _next_number(parent: Path) -> int:
    starts = [path.name.split("-")[0] for path in parent.iterdir()]
    return 1 + max((int(start) for start in starts if start.isdigit()), default=0)


def _sweep_drafts(parent: Path) -> None:
    """Delete the drafts of folders whose making was killed; a living one is young."""
    for draft in parent.glob(".new-*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > 3600:
                shutil.rmtree(draft)
