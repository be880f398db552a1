"""From options to the folder of a run: a new one, or the one to continue."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterplay.cli import _options
from counterplay.cli._folder import read_tables, RunFolder
from counterplay.errors import ConfigError


def begin(
    base: _options.Tables,
    file: Path | None,
    overrides: Sequence[str],
    named: Mapping[str, Any],
    *,
    out: Path | None,
    resume: bool,
    dry_run: bool,
    **facts: Any,
) -> RunFolder | None:
    """The folder to play into.

    Args:
        base: Tables to begin with if there is no file.
        file: Recipe, or a run folder with one.
        overrides: Assignments, stronger than the file.
        named: Values of options by dotted key, stronger than the file.
        out: Folder to write.
        resume: Whether the folder is there already.
        dry_run: Whether to print the recipe and stop.
        facts: Entries of the table `[run]` of a new folder.

    Returns:
        The folder, or None after a dry run.

    Raises:
        ConfigError: If it is not said what to resume.
    """
    folder = None
    if resume:
        folder = RunFolder.open(resumed(out))
        base = folder.recipe.tables()
    if file is not None:
        base = read_tables(file)
    recipe = _options.recipe_of(base, overrides, named=named)
    if dry_run:
        print(recipe.toml(), end="")
        return None
    if folder is None:
        return RunFolder.create(recipe, out, **facts)
    _options.require_same(recipe, folder.recipe, folder.path)
    return folder


def resumed(out: Path | None) -> Path:
    """The folder to continue.

    Raises:
        ConfigError: If it is not given.
    """
    if out is None:
        raise ConfigError("`--resume` needs `--out`, the folder of the run to continue.")
    return out
