"""Features of a network in a TorchScript file."""

import hashlib
import os
import warnings
from pathlib import Path

import torch

from counterplay.errors import DataError
from counterplay.features import _frozen
from counterplay.features._map import check_name, first_line
from counterplay.features.from_module import ModuleFeatures


def torchscript(
    path: str | os.PathLike[str], *, name: str | None = None, n_features: int | None = None
) -> ModuleFeatures:
    """Use the network in a TorchScript file, which carries its own code.

    Args:
        path: The file, as `torch.jit.save` writes it.
        name: What the map is called in the names of results; by default the file's name.
        n_features: Number of columns, checked at every call if given.

    Returns:
        The map; its fingerprint is the file's.

    Raises:
        DataError: If there is no such file, or it does not hold TorchScript.
    """
    path = Path(path)
    check_name(name := name or path.stem)
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} to read a feature network from.")
    try:
        with warnings.catch_warnings():
            # PyTorch advises against writing new TorchScript; published networks still are.
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        raise DataError(
            f"{str(path)!r} does not hold TorchScript: {first_line(error)} Write "
            "it with `torch.jit.save`, or build the network and use `from_module`."
        ) from error
    digest = hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()
    return ModuleFeatures(name, n_features, digest, _frozen.frozen(module))
