"""TOML files, and the paths of other files in them."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from counterplay.errors import ConfigError


_PATHS = {
    "data": ("path",),
    "nets": ("start",),
    "features": ("path", "weights", "cache"),
}


def read_toml(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: If the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {str(path)!r}.") from error
    except ValueError as error:  # bytes that are no text, too
        raise ConfigError(f"{str(path)!r} is not TOML: {error}.") from error


def read_anchored(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file, in which relative paths start at its own folder.

    Raises:
        ConfigError: If the file is missing or is not TOML.
    """
    return anchored(read_toml(path), Path(path).parent)


def anchored(tables: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Tables in which the relative paths, which start at `folder`, are absolute.

    So a run finds its files from whatever folder its verbs are called in.
    """
    found = dict(tables)
    for name, keys in _PATHS.items():
        table = found.get(name, {})
        paths = {key: table[key] for key in keys if table.get(key)}
        if paths:
            absolute = {
                key: os.path.abspath(folder / Path(path).expanduser())
                for key, path in paths.items()
            }
            found[name] = {**table, **absolute}
    return found
