"""Adversarial games in PyTorch, with the exact influence of every training instance.

Nothing is imported before it is asked for, so that `import counterplay` costs nothing.
"""

import importlib
from typing import Any, TYPE_CHECKING


if TYPE_CHECKING:
    from counterplay import (
        baselines as baselines,
        data as data,
        estimators as estimators,
        executors as executors,
        fairness as fairness,
        features as features,
        games as games,
        live as live,
        metrics as metrics,
        nets as nets,
        optim as optim,
        ranks as ranks,
        scoring as scoring,
        stability as stability,
    )
    from counterplay._adjoint import (
        FirstOrder as FirstOrder,
        Implicit as Implicit,
        Mollified as Mollified,
        Unroll as Unroll,
    )
    from counterplay._along import trace_along_removal as trace_along_removal
    from counterplay._cleanse import (
        cleanse as cleanse,
        cleanse_iteratively as cleanse_iteratively,
        compare as compare,
    )
    from counterplay._forward_mode import ForwardMode as ForwardMode
    from counterplay._influence import Influence as Influence, trace as trace
    from counterplay._play import play as play
    from counterplay._recipe import Recipe as Recipe
    from counterplay._retrain import retrain as retrain
    from counterplay._trajectory import Trajectory as Trajectory
    from counterplay._verify import verify as verify
    from counterplay.game import (
        apply_of as apply_of,
        Columns as Columns,
        Game as Game,
        State as State,
    )


__version__ = "0.1.0"

_HOME = {
    "Columns": "game",
    "FirstOrder": "_adjoint",
    "ForwardMode": "_forward_mode",
    "Game": "game",
    "Implicit": "_adjoint",
    "Influence": "_influence",
    "Mollified": "_adjoint",
    "Recipe": "_recipe",
    "State": "game",
    "Trajectory": "_trajectory",
    "Unroll": "_adjoint",
    "apply_of": "game",
    "cleanse": "_cleanse",
    "cleanse_iteratively": "_cleanse",
    "compare": "_cleanse",
    "play": "_play",
    "retrain": "_retrain",
    "trace": "_influence",
    "trace_along_removal": "_along",
    "verify": "_verify",
}
_FAMILIES = ("data", "features", "games", "metrics", "nets")
_MODULES = (
    "baselines", "estimators", "executors", "fairness", "live", "optim", "ranks", "scoring",
    "stability",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _FAMILIES or name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value  # found without this function from now on
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_HOME, *_FAMILIES, *_MODULES, "__version__"})
