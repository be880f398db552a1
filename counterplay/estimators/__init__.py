"""Games behind scikit-learn's contract: `fit`, then `predict` or `score_samples`.

Nothing is imported before it is asked for.
"""

import importlib
from typing import Any, TYPE_CHECKING

from counterplay.errors import ConfigError


if TYPE_CHECKING:
    from counterplay.estimators._saved import load as load, save as save
    from counterplay.estimators.mad_gan import MADGAN as MADGAN
    from counterplay.estimators.mo_gaal import MOGAAL as MOGAAL
    from counterplay.estimators.pyod import PyODDetector as PyODDetector
    from counterplay.estimators.so_gaal import SOGAAL as SOGAAL
    from counterplay.estimators.window_pca import WindowPCA as WindowPCA


_DETECTORS = {  # by file, whose name is theirs on the command line
    "mad_gan": "MADGAN",
    "mo_gaal": "MOGAAL",
    "so_gaal": "SOGAAL",
    "window_pca": "WindowPCA",
}
_HOME = {
    **{name: file for file, name in _DETECTORS.items()},
    "PyODDetector": "pyod",
    "load": "_saved",
    "save": "_saved",
}


def names() -> tuple[str, ...]:
    """The detectors as files and commands name them, sorted; `load` knows them."""
    return tuple(_DETECTORS)


def detector(name: str) -> Any:
    """The class of a detector.

    Args:
        name: One of `names()`.

    Returns:
        The class, such as `MOGAAL` for `"mo_gaal"`.

    Raises:
        ConfigError: If there is no such detector.
    """
    if name not in _DETECTORS:
        raise ConfigError(f"There is no detector {name!r}; there are {list(names())}.")
    return __getattr__(_DETECTORS[name])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({"detector", "names", *_HOME})
