"""From a metric's name, a feature map and real data to a function of samples."""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from counterplay import metrics
from counterplay.errors import DataError, MetricError
from counterplay.game import Columns
from counterplay.metrics._facts import Classified, Facts
from counterplay.metrics._floor import Floor, same_data_floor
from counterplay.typing import FeatureMap


@dataclass(frozen=True)
class Reading:
    """A metric that is ready to read samples.

    Attributes:
        name: What is measured, protocol included: `"frechet_classifier_2048"`.
        facts: What is known about the metric.
        rows: From samples to the rows that are differentiated by.
        metric: From the rows of all samples to the number.
        reads: Ids of the instances that it compares with.
        learnt_from: Ids of the instances that its feature map was trained on.
        extractor: Fingerprint of the feature map; empty without one.
        of_real: What real instances get in place of samples, from the seed that draws them;
            None if there is no reference, or too little of it.
    """

    name: str
    facts: Facts
    rows: Callable[[Tensor], Tensor]
    metric: Callable[[Tensor], Tensor]
    reads: tuple[str, ...]
    learnt_from: tuple[str, ...]
    extractor: str
    of_real: Callable[[int], Floor | None]


def read(
    metric: str | Callable[[Tensor], Tensor],
    features: FeatureMap | None,
    reference: Columns | Tensor | None,
    *,
    n: int,
    chunk: int,
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
    averaged: bool = False,
    higher_is_better: bool | None = None,
) -> Reading:
    """Compute what can be computed of a metric before there is a sample.

    The arguments are those of `counterplay.metrics.of_samples`.

    Raises:
        MetricError: If the metric cannot be computed from what is given.
    """
    facts, label = _known(metric, higher_is_better)
    options = dict(options or {})
    features = None if facts.needs == "samples" else features
    name = name or _protocol(label, features, n, options, averaged)
    if n < facts.minimum_samples or chunk < 1:
        raise MetricError(
            f"Metric {name!r} needs `n` of at least {facts.minimum_samples} and `chunk` of "
            f"at least 1, got `n`={n} and `chunk`={chunk}."
        )
    if isinstance(metric, str):
        _check_options(name, facts, options)
    rows = _rows(name, facts, features)
    known, width = _reference_rows(name, facts, features, rows, reference, chunk)
    as_read = functools.partial(_as_read, facts, width)

    if known is not None:
        _warn_of_bias(name, facts, known, n)
    real = None if known is None else as_read(known)
    given = [facts.prepare(real) if facts.prepare else real] * facts.reads_reference
    return Reading(
        name=name,
        facts=facts,
        rows=rows,
        metric=lambda fake: facts.function(*given, as_read(fake), **options),
        reads=reference.ids if isinstance(reference, Columns) else (),
        learnt_from=getattr(features, "trained_on", ()),
        extractor=features.fingerprint if features else "",
        of_real=functools.partial(_of_real, facts, real, n, options),
    )


def _known(
    metric: str | Callable[[Tensor], Tensor], higher_is_better: bool | None
) -> tuple[Facts, str]:
    if isinstance(metric, str) != (higher_is_better is None):
        raise MetricError(
            f"`higher_is_better` is {higher_is_better} and `metric` is {metric!r}. A "
            "function needs a direction, and a named metric has its own: give it for a "
            "function only."
        )
    if isinstance(metric, str):
        return metrics.load(metric), metric
    facts = Facts(metric, higher_is_better=bool(higher_is_better), reads_reference=False)
    return facts, getattr(metric, "__name__", "metric")


def _protocol(
    label: str, features: FeatureMap | None, n: int, options: dict[str, Any], averaged: bool
) -> str:
    """The name of a result: what is measured, on what, with how many samples, and how."""
    parts = [label, features.name if features else "identity", str(n)]
    parts += [
        f"{key}_{value}"
        for key, value in options.items()
        if isinstance(value, (bool, int, float, str))  # a tensor or a function has no name
    ]
    return "_".join([*parts, "averaged"] if averaged else parts)


def _check_options(name: str, facts: Facts, options: dict[str, Any]) -> None:
    signature = inspect.signature(facts.function)
    try:
        signature.bind(*("real", "fake")[not facts.reads_reference :], **options)
    except TypeError as error:
        raise MetricError(
            f"Metric {name!r} cannot be called with `options` {options!r}: {error}. Its "
            f"function takes {signature}."
        ) from None


def _rows(
    name: str, facts: Facts, features: FeatureMap | None
) -> Callable[[Tensor], Tensor]:
    """From samples to the rows to differentiate by; `Classified` stand side by side.

    Raises:
        MetricError: If the feature map has no logits, but the metric reads them.
    """
    if facts.needs == "samples":
        return lambda x: x
    if facts.needs == "features":
        return features or functools.partial(torch.flatten, start_dim=1)
    logits = getattr(features, "logits", None)
    if features is None or logits is None:
        raise MetricError(
            f"Metric {name!r} reads a classifier's logits, but the feature map has no "
            "`logits`. Use `counterplay.features.classifier(data)`."
        )
    if facts.needs == "logits":
        return logits
    return lambda x: torch.cat([features(x), logits(x)], dim=1)


def _reference_rows(
    name: str,
    facts: Facts,
    features: FeatureMap | None,
    rows: Callable[[Tensor], Tensor],
    reference: Columns | Tensor | None,
    chunk: int,
) -> tuple[Tensor | None, int]:
    """The rows of the real data, and how many columns of them are features.

    Raises:
        MetricError: If there is nothing to compare with.
    """
    if reference is None and facts.reads_reference:
        raise MetricError(
            f"Metric {name!r} compares with real data. Give `reference`, instances that "
            "the game does not train on."
        )
    if reference is None:
        return None, 0
    real = reference["x"] if isinstance(reference, Columns) else reference
    with torch.no_grad():
        known = torch.cat([rows(x).to("cpu", torch.float64) for x in real.split(chunk)])
        width = features(real[:1]).shape[1] if features else known.shape[1]
    return known, width


def _warn_of_bias(name: str, facts: Facts, known: Tensor, n: int) -> None:
    needed = facts.rows_per_column * known.shape[1]
    if min(n, len(known)) < needed:
        warnings.warn(
            f"Metric {name!r} compares {n} samples with {len(known)} real rows on "
            f"{known.shape[1]} features. With fewer than {needed} of either most of its "
            "value is bias: read it beside what real data get, and never against values of "
            "other numbers. Give more, or a feature map with fewer features.",
            stacklevel=4,
        )


def _as_read(facts: Facts, width: int, rows: Tensor) -> Any:
    if facts.needs == "classified":
        return Classified(rows[:, :width], rows[:, width:])
    return rows


def _of_real(
    facts: Facts, real: Any, n: int, options: Mapping[str, Any], seed: int
) -> Floor | None:
    """What real data get in place of samples; None if there are too few."""
    if real is None:
        return None
    try:
        return same_data_floor(facts, real, n=n, seed=seed, options=options)
    except DataError:
        return None
