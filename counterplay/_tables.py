"""Tables of a recipe: which keys a function lets them set, and what may be in them."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from counterplay.errors import ConfigError


Table = Mapping[str, Any]
REQUIRED = object()  # in place of the default of a key that has none


def keys_of(make: Callable[..., Any], *without: str) -> dict[str, Any]:
    """The keywords of a function that a table may set, with their defaults."""
    return {
        name: REQUIRED
        if parameter.default is inspect.Parameter.empty
        else parameter.default
        for name, parameter in inspect.signature(make).parameters.items()
        if name not in without
    }


def require_kind(key: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the default; an integer may stand for a float.

    Raises:
        ConfigError: If it is of another kind.
    """
    kind = type(default)
    allowed = (int, float) if kind is float else kind
    if kind not in (bool, int, float, str, list) or (
        isinstance(value, allowed) and isinstance(value, bool) == (kind is bool)
    ):
        return
    raise ConfigError(
        f"`{key}` must be of type {kind.__name__}, such as {default!r}, got {value!r}."
    )


def require_known(name: str, known: Mapping[str, Any], what: str) -> None:
    """Refuse a name that is not known.

    Raises:
        ConfigError: If it is not; the text names the nearest.
    """
    if name not in known:
        nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"There is no {what} {name!r}; the nearest is {nearest!r}, of {sorted(known)}."
        )


def plain(table: Table) -> dict[str, Any]:
    """The entries that TOML can hold: it has no null, and no tuples."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in table.items()
        if value is not None and not callable(value)
    }
