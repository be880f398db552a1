"""`counterplay list`."""

import inspect
from typing import Annotated, Any, Literal

from tyro.conf import arg, Positional

from counterplay import (
    _adjoint,
    _forward_mode,
    data,
    estimators,
    features,
    games,
    metrics,
    nets,
)
from counterplay._recipe import FEATURES
from counterplay.cli import _show


Kind = Literal["games", "nets", "data", "metrics", "features", "adjoints", "estimators"]


def list(kind: Annotated[Positional[Kind], arg(metavar="KIND")]) -> None:
    """List games, nets, data sets, metrics, feature maps, adjoints or estimators.

    Args:
        kind: `games`, `nets`, `data`, `metrics`, `features`, `adjoints` or `estimators`.
    """
    facts = _facts_of if kind == "metrics" else lambda name: {}
    _show.table(
        kind,
        [
            {"name": name, **facts(name), "what": _first_line(made)}
            for name, made in _all(kind).items()
        ],
    )


def _all(kind: Kind) -> dict[str, Any]:
    match kind:
        case "games":
            return {name: inspect.getmodule(games.load(name)) for name in games.names()}
        case "data":
            return {name: data.maker(name) for name in data.names()}
        case "nets":
            return {name: _options_text(nets.options_of(name)) for name in nets.names()}
        case "metrics":
            return {name: metrics.load(name).function for name in metrics.names()}
        case "features":
            return {name: getattr(features, name) for name in FEATURES}
        case "adjoints":
            return {
                "unroll": _adjoint.Unroll,
                "mollified": _adjoint.Mollified,
                "implicit": _adjoint.Implicit,
                "first_order": _adjoint.FirstOrder,
                "forward_mode": _forward_mode.ForwardMode,
            }
        case "estimators":
            return {name: estimators.detector(name) for name in estimators.names()}


def _facts_of(name: str) -> dict[str, str]:
    facts = metrics.load(name)
    return {
        "reads": {"classified": "features, logits"}.get(facts.needs, facts.needs),
        "better": "higher" if facts.higher_is_better else "lower",
        "range": "{:g} to {:g}".format(*facts.bounds),
        "traceable": "yes" if facts.differentiable else "no",
    }


def _options_text(options: Any) -> str:
    return "options: " + ", ".join(f"{key}={value!r}" for key, value in options.items())


def _first_line(made: Any) -> str:
    return made if isinstance(made, str) else (inspect.getdoc(made) or "").split("\n")[0]
