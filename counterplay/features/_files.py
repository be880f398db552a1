"""Tensors in files that are there whole or not at all, and say what they hold."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from counterplay._atomic import make_folder, write_atomically


FORMAT = "counterplay.features."  # and then what kind of content


def write(path: Path, kind: str, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Replace a file in one step; its folder is made if it is missing."""
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        metadata={FORMAT + kind: json.dumps(facts)},
    )
    make_folder(path.parent)
    write_atomically(path, content)


def read(path: Path) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """The kind, the facts and the tensors of a file.

    Raises:
        ValueError: If the file is not of this format.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(str(error)) from error
    for key, facts in metadata.items():
        if key.startswith(FORMAT):
            return key.removeprefix(FORMAT), json.loads(facts), tensors
    raise ValueError(f"its head names none of the kinds {FORMAT}*")
