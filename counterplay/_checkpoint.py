"""States on disk: one safetensors file per kept move, written whole or not at all."""

import hashlib
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import torch
from torch import Tensor

from counterplay._atomic import make_folder
from counterplay._tensor_files import read_facts, read_tensors, write_tensors
from counterplay.errors import RunError
from counterplay.game import State, STATE_PARTS
from counterplay.typing import Tensors


_KIND = "state"


def fingerprint(state: State) -> str:
    """A hash of every bit of a state."""
    head = f"{state.step}{json.dumps(_groups(state))}"
    digest = hashlib.blake2b(head.encode(), digest_size=12)
    add_tensors(digest, state.tensors())
    return digest.hexdigest()


def add_tensors(digest: hashlib.blake2b, tensors: Tensors) -> None:
    """Hash every bit of named tensors."""
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))


def _groups(state: State) -> dict[str, list[str]]:
    """Which player has which part; one without tensors shows nowhere else."""
    return {part: sorted(getattr(state, part)) for part in STATE_PARTS}


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


class FolderCheckpoints(MutableMapping[int, State]):
    """Checkpoints kept as files of one folder, not in memory; a mapping move -> state."""

    def __init__(self, folder: Path | str, *, run: str | None = ""):
        """Open or create the folder.

        Args:
            folder: Where the files are.
            run: What the checkpoints belong to; files of another run are refused, unless
                it is None.
        """
        self.folder, self.run = Path(folder), run
        make_folder(self.folder)

    def _path(self, move: int) -> Path:
        return self.folder / f"{move:09d}.safetensors"

    def __setitem__(self, move: int, state: State) -> None:
        facts = {
            "step": state.step,
            "groups": _groups(state),
            "fingerprint": fingerprint(state),
            "run": self.run,
        }
        write_tensors(self._path(move), _KIND, facts, state.tensors())

    def __getitem__(self, move: int) -> State:
        path = self._path(move)
        if not path.exists():
            raise KeyError(move)
        try:
            _, facts, tensors = read_tensors(path)
            state = _assemble(facts["step"], facts["groups"], tensors)
            intact = state.step == move and fingerprint(state) == facts["fingerprint"]
            run = facts["run"]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(_damaged(path)) from error
        if not intact:
            raise RunError(_damaged(path))
        if self.run is not None and run != self.run:
            raise RunError(
                f"The checkpoint {str(path)!r} belongs to run {run!r}, not to "
                f"{self.run!r}: the data or a setting has changed. Use another run folder."
            )
        return state

    def fingerprint_of(self, move: int) -> str:
        """The fingerprint of a kept state, from the head of its file alone.

        Raises:
            RunError: If the head is damaged.
        """
        path = self._path(move)
        try:
            return read_facts(path)[1]["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(_damaged(path)) from error

    def __delitem__(self, move: int) -> None:
        path = self._path(move)
        try:
            path.unlink()
        except FileNotFoundError:
            raise KeyError(move) from None
        except OSError as error:
            raise RunError(
                f"The checkpoint {str(path)!r} cannot be deleted: {error.strerror}. Make "
                "its folder writable, then repeat the command."
            ) from error

    def __contains__(self, move: object) -> bool:
        # The inherited test would read and hash the whole file.
        return isinstance(move, int) and self._path(move).exists()

    def __iter__(self) -> Iterator[int]:
        names = (path.stem for path in self.folder.glob("?????????.safetensors"))
        return iter(sorted(int(name) for name in names if name.isdigit()))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _damaged(path: Path) -> str:
    return (
        f"The checkpoint {str(path)!r} is damaged: its bytes do not match its fingerprint. "
        "Delete the file; `--resume` continues from the checkpoint before it."
    )


def _assemble(step: int, groups: dict[str, list[str]], tensors: Tensors) -> State:
    parts = {part: {player: {} for player in groups[part]} for part in STATE_PARTS}
    for flat, tensor in tensors.items():
        part, player, name = flat.split("/", 2)
        parts[part][player][name] = tensor
    return State(step, **parts)
