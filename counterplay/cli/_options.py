"""Options that several verbs share, and the recipe they make."""

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg, Positional

from counterplay import _numerics, executors
from counterplay._adjoint import (
    AbstractAdjoint,
    FirstOrder,
    Implicit,
    MEMORY,
    Mollified,
    Unroll,
)
from counterplay._recipe import Recipe
from counterplay._toml import anchored
from counterplay.errors import ConfigError, RunError


Run = Annotated[Positional[Path], arg(metavar="RUN")]
From = Annotated[Path | None, arg(name="from", metavar="FILE")]
Out = Annotated[Path | None, arg(metavar="FOLDER")]
Set = Annotated[tuple[str, ...], arg(name="set", metavar="TABLE.KEY=VALUE")]
Names = Annotated[tuple[str, ...], arg(metavar="NAME")]
Name = Annotated[str | None, arg(metavar="NAME")]
Number = Annotated[int | None, arg(metavar="INT")]
Executor = executors.Name | None
Precision = Annotated[_numerics.Precision | None, arg(metavar="NAME")]
MemoryFormat = Annotated[_numerics.MemoryFormat | None, arg(metavar="NAME")]
Adjoint = Literal["unroll", "mollified", "implicit", "first_order"]

Tables = Mapping[str, Mapping[str, Any]]


def recipe_of(
    base: Tables, overrides: Sequence[str] = (), *, named: Mapping[str, Any] | None = None
) -> Recipe:
    """A recipe from tables, named options and `TABLE.KEY=VALUE`, the later the stronger.

    Args:
        base: What to begin with.
        overrides: Assignments; a value is TOML, or text as it stands.
        named: Values by dotted key; None is left out. Another name of a data set, a game or
            networks takes the place of their whole table, whose options were not its own.

    Returns:
        The recipe, checked; relative paths that are left start at the working folder.
    """
    return Recipe.from_tables(tables_of(base, overrides, named=named))


def tables_of(
    base: Tables, overrides: Sequence[str] = (), *, named: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The tables of `recipe_of`, unchecked."""
    tables: dict[str, Any] = copy.deepcopy({k: v for k, v in base.items() if k != "run"})
    for key, value in (named or {}).items():
        if value is None:
            continue
        table, last = key.split(".")
        if last == "name" and tables.get(table, {}).get("name") != value:
            tables[table] = {}
        tables.setdefault(table, {})[last] = value
    for assignment in overrides:
        _assign(tables, assignment)
    return anchored(tables, Path())


def require_same(wanted: Recipe, played: Recipe, path: Path) -> None:
    """Refuse to continue a run as another one.

    Raises:
        RunError: If a key differs.
    """
    new, old = (anchored(recipe.tables(), Path()) for recipe in (wanted, played))
    for table in {**old, **new}:
        before, after = old.get(table, {}), new.get(table, {})
        for key in {**before, **after}:
            if before.get(key) != after.get(key):
                raise RunError(
                    f"The run {str(path)!r} was begun with {table}.{key} = "
                    f"{before.get(key)!r} and cannot go on with {after.get(key)!r}. Leave "
                    "the option out, or play a new run without `--resume`."
                )


def adjoint_of(
    name: Adjoint,
    *,
    last: int = 0,
    memory: int | str = MEMORY,
    depth: int = 1_000,
    damping: float = 0.0,
) -> AbstractAdjoint:
    """The adjoint of the options that several verbs share; `last` 0 is the whole run."""
    match name:
        case "unroll":
            return Unroll(last=last or None, memory=memory)
        case "mollified":
            return Mollified(last=last or None, memory=memory)
        case "first_order":
            return FirstOrder(last=last or None, memory=memory)
        case "implicit":
            return Implicit(depth=depth, damping=damping)


def _assign(tables: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    *path, last = key.split(".")
    if not equals or not path or not all((*path, last)):
        raise ConfigError(
            f"`--set` takes TABLE.KEY=VALUE, such as game.lr_g=1e-4, got {assignment!r}."
        )
    table = tables
    for name in path:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(
                f"`--set {assignment}` goes through {name!r}, which is no table."
            )
    table[last] = value_of(text)


def value_of(text: str) -> Any:
    """What `KEY=VALUE` gives: TOML, or text as it stands."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:  # text needs no quotes
        return text
