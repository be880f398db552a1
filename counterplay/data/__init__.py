"""Data sets as `Splits`: one file per data set, and the file's name is the data set's name.

`data.digits()` and `data.load("digits")` are the same call. Nothing is imported before it
is asked for.
"""

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TYPE_CHECKING

from counterplay.errors import ConfigError


if TYPE_CHECKING:
    from counterplay.data.splits import Dtype, Splits


# Public names that are not data sets, and the file each is in.
_TOOLS = {
    "Mixture": "mixture",
    "Rows": "_stream",
    "Scaling": "splits",
    "partly_labelled": "labels",
    "Splits": "splits",
    "corrupt": "corrupt",
    "rows_of": "_stream",
    "oscillators": "_oscillators",
    "split": "splits",
    "without_class": "corrupt",
}


def names() -> tuple[str, ...]:
    """The data sets that `load` knows, sorted."""
    files = {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
    return tuple(sorted(files - set(_TOOLS.values())))


def load(
    name: str, *, labelled: int | None = None, dtype: "Dtype | None" = None, **options: Any
) -> "Splits":
    """The data set called `name`.

    Args:
        name: One of `names()`; a hyphen may stand for an underscore, `2d` for `two_d`.
        labelled: Training instances that keep their label, see `partly_labelled`; default
            all. The option `seed` of the data set determines which.
        dtype: Of the columns that are not whole numbers; default what the data set gives.
            Networks and metrics follow it.
        options: Keywords of the function of that name.

    Returns:
        Its training, validation and test instances.

    Raises:
        ConfigError: If there is no such data set, it has no such option, or there is no
            such `dtype`.

    Example:
        >>> len(load("2d-normal", n_train=100).train)
        100
    """
    make = maker(name)
    signature = inspect.signature(make)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise ConfigError(
            f"The options of the data set {name!r} do not fit: {error}. It has "
            f"{list(signature.parameters)}."
        ) from error
    splits = make(**options)
    if dtype is not None:
        splits = splits.in_dtype(dtype)
    if labelled is None:
        return splits
    train = _find("labels", "partly_labelled")(
        splits.train, labelled, seed=options.get("seed", 0)
    )
    return dataclasses.replace(splits, train=train)


def maker(name: str) -> "Callable[..., Splits]":
    """The function that makes the data set called `name`; see `load`.

    Raises:
        ConfigError: If there is no such data set.
    """
    file = name.replace("-", "_").replace("2d_", "two_d_")
    if file not in names():
        raise ConfigError(
            f"There is no data set {name!r}; there are {list(names())}. Files of your own "
            "are read by 'image_folder', 'table', 'npz' and 'mnist', given a `path`."
        )
    return _find(file, file)


def _find(file: str, name: str) -> Callable[..., Any]:
    return getattr(importlib.import_module(f"{__name__}.{file}"), name)


def __getattr__(name: str) -> Callable[..., Any]:
    if name in _TOOLS or name in names():
        return _find(_TOOLS.get(name, name), name)
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; see `data.names()`"
    )


def __dir__() -> list[str]:
    return sorted({"load", "maker", "names", *_TOOLS, *names()})


class _Package(ModuleType):
    """Keeps `data.digits` a function after `data/digits.py` has been imported.

    The import system binds each submodule to its package under the name of its file; here
    the function of the same name is bound instead.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType):
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
