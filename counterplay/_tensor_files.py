"""Files of named tensors that say what they hold, there whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open, SafetensorError
from safetensors.torch import save
from torch import Tensor

from counterplay._atomic import make_folder, write_atomically
from counterplay._sealed import seal, unseal
from counterplay.typing import Tensors


_FORMAT = "counterplay."  # and then the kind


def write_tensors(path: Path, kind: str, facts: dict[str, Any], tensors: Tensors) -> None:
    """Replace a file in one step; its folder is made if it is missing.

    Args:
        path: Where it is.
        kind: What it holds.
        facts: What is to be known of it, as far as JSON goes.
        tensors: What it holds, under any names.
    """
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    # Facts are one entry: safetensors writes several in any order, and equal content must
    # give equal files.
    content = save(plain, {_FORMAT + kind: json.dumps(seal(facts))})
    make_folder(path.parent)
    write_atomically(path, content)


def read_tensors(path: Path) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """The kind, the facts and the tensors of a file.

    Raises:
        ValueError: If the file is missing, damaged or something else.
    """
    with _opened(path) as file:
        kind, facts = _head(file)
        # Copied to where PyTorch would put them: those of a mapped file begin anywhere,
        # where products of matrices round otherwise.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    return kind, facts, tensors


def read_facts(path: Path) -> tuple[str, dict[str, Any]]:
    """The kind and the facts of a file, without its tensors.

    Raises:
        ValueError: If the file is missing, damaged or something else.
    """
    with _opened(path) as file:
        return _head(file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from error


def _head(file: Any) -> tuple[str, dict[str, Any]]:
    for key, facts in (file.metadata() or {}).items():
        if key.startswith(_FORMAT):
            return key.removeprefix(_FORMAT), unseal(json.loads(facts))
    raise ValueError(f"its head names none of the kinds {_FORMAT}*")
