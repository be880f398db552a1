"""States on disk: one safetensors file per kept move, written whole or not at all."""

import hashlib
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open, SafetensorError
from safetensors.torch import save
from torch import Tensor

from counterplay._atomic import make_folder, write_atomically
from counterplay._sealed import seal, unseal
from counterplay.errors import RunError
from counterplay.game import State, STATE_PARTS
from counterplay.typing import Tensors


_FACTS = "counterplay.state"  # what a file says about its state


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

    def __init__(self, folder: Path | str, *, run: str = ""):
        """Open or create the folder.

        Args:
            folder: Where the files are.
            run: What the checkpoints belong to; files of another run are refused.
        """
        self.folder, self.run = Path(folder), run
        make_folder(self.folder)

    def _path(self, move: int) -> Path:
        return self.folder / f"{move:09d}.safetensors"

    def __setitem__(self, move: int, state: State) -> None:
        tensors = {
            k: v.detach().cpu().contiguous().clone() for k, v in state.tensors().items()
        }
        facts = {
            "step": state.step,
            "groups": _groups(state),
            "fingerprint": fingerprint(state),
            "run": self.run,
        }
        # One entry: safetensors writes several in any order, and equal states must give
        # equal files.
        write_atomically(self._path(move), save(tensors, {_FACTS: json.dumps(seal(facts))}))

    def __getitem__(self, move: int) -> State:
        path = self._path(move)
        if not path.exists():
            raise KeyError(move)
        try:
            with safe_open(path, framework="pt") as file:
                facts = _facts_of(file)
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
            state = _assemble(facts["step"], facts["groups"], tensors)
            intact = state.step == move and fingerprint(state) == facts["fingerprint"]
            run = facts["run"]
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise RunError(_damaged(path)) from error
        if not intact:
            raise RunError(_damaged(path))
        if run != self.run:
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
            with safe_open(path, framework="pt") as file:
                return _facts_of(file)["fingerprint"]
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
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


def _facts_of(file: Any) -> dict[str, Any]:
    """What the head of an open file says.

    Raises:
        ValueError: If it is damaged.
    """
    facts = unseal(json.loads(file.metadata()[_FACTS]))
    if not isinstance(facts, dict):
        raise ValueError(f"{facts!r} says nothing of a state")
    return facts


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
