"""Metrics: functions of features, and targets that say what a trace differentiates.

One file holds one metric, or a few of one kind, and a record of facts for each. Functions
are reached through their file, `metrics.frechet.frechet_distance`; `load` finds one by its
name.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, TYPE_CHECKING

from counterplay.errors import MetricError


if TYPE_CHECKING:  # importing the package must not wait for PyTorch
    from counterplay.metrics._facts import Classified as Classified, Facts as Facts
    from counterplay.metrics.classification import of_classifier as of_classifier
    from counterplay.metrics.target import (
        of_samples as of_samples,
        of_state as of_state,
        Target as Target,
    )

_FILES = tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_"))
_FRONT = {
    "Classified": "_facts",
    "Facts": "_facts",
    "Target": "target",
    "of_classifier": "classification",
    "of_samples": "target",
    "of_state": "target",
}


def names() -> tuple[str, ...]:
    """The metrics that `load` and `of_samples` know by name."""
    return tuple(sorted(_found()))


def load(name: str) -> "Facts":
    """The function of a metric and what there is to know about it.

    Args:
        name: One of `names()`.

    Returns:
        The record that stands beside the function.

    Raises:
        MetricError: If there is no such metric.
    """
    found = _found()
    if name not in found:
        nearest = difflib.get_close_matches(name, found, n=1, cutoff=0.0)
        raise MetricError(
            f"There is no metric {name!r}; there are {sorted(found)}. The nearest is "
            f"{nearest[0]!r}."
        )
    return found[name]


def _found() -> Mapping[str, "Facts"]:
    modules = (importlib.import_module(f"{__name__}.{file}") for file in _FILES)
    return {name: facts for m in modules for name, facts in getattr(m, "FACTS", {}).items()}


def __getattr__(name: str) -> Any:
    if name in _FRONT:
        return getattr(importlib.import_module(f"{__name__}.{_FRONT[name]}"), name)
    if name in _FILES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
