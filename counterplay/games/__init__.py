"""The games: one file, one game, one factory of the same name."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from counterplay.errors import GameError


if TYPE_CHECKING:  # listing the games must not wait for PyTorch
    from counterplay.game import Game


def names() -> tuple[str, ...]:
    """The games there are, without importing any."""
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in files if not name.startswith("_")))


def load(name: str) -> "Callable[..., Game]":
    """The factory of a game.

    Args:
        name: Its file's name.

    Returns:
        A function from networks and hyperparameters to the game.

    Raises:
        GameError: If there is no such game.
    """
    if name not in names():
        nearest = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
        raise GameError(
            f"There is no game {name!r}; there are {list(names())}. The nearest is "
            f"{nearest[0]!r}."
        )
    return getattr(importlib.import_module(f"{__name__}.{name}"), name)
