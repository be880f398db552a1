"""Targets: what a trace differentiates, a number and its gradient in a game's state."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from counterplay import metrics
from counterplay.errors import MetricError
from counterplay.game import Columns, Game, Sample, State
from counterplay.metrics._facts import Classified, Facts
from counterplay.metrics._measures import Measure, SampleMeasure, StateMeasure, TRAINED
from counterplay.typing import Params, Scalar, Tensors


@runtime_checkable
class FeatureMap(Protocol):
    """A frozen map from instances to features; a classifier's has `logits` too."""

    @property
    def name(self) -> str:
        """What the map is called in the names of results."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """The features of instances, one row each, differentiable."""
        ...


@dataclass(frozen=True)
class Target:
    """What a trace differentiates: one number of a game's state.

    Attributes:
        name: What is measured, protocol included: `"frechet_classifier_2048"`.
        higher_is_better: Its direction.
        measure: How it is computed.
        reads: Ids of the instances that it compares with.
        learnt_from: Ids of the instances that its feature map was trained on.
        extractor: Fingerprint of the feature map; empty without one.
    """

    name: str
    higher_is_better: bool
    measure: Measure
    reads: tuple[str, ...] = ()
    learnt_from: tuple[str, ...] = ()
    extractor: str = ""

    def value(self, state: State) -> float:
        """The metric of a state.

        Raises:
            MetricError: If it is not one finite number.
        """
        return self._number(self.measure.value(state))

    def cotangent(self, state: State) -> tuple[float, Tensors]:
        """The metric of a state and its gradient by the state's tensors.

        Returns:
            The value, and the gradient under the flat names of `State.tensors()`; tensors
            that the metric does not read are left out.

        Raises:
            MetricError: If either is not finite, or the gradient reaches no parameter.
        """
        value, gradient = self.measure.gradient(state)
        number = self._number(value)
        for name, part in gradient.items():
            if not torch.isfinite(part).all():
                raise MetricError(
                    f"Metric {self.name!r} is {number:.6g}, but its gradient by {name!r} "
                    "holds NaN or infinity. Likely a root, logarithm or division at 0 in "
                    "the metric, the feature map or the generator, or players that are "
                    "about to diverge."
                )
        if not any(p.any() for name, p in gradient.items() if name.startswith(TRAINED)):
            raise MetricError(
                f"The gradient of metric {self.name!r} reaches no parameter; it would "
                "return zeros that look like an answer. Measure something that depends on "
                "a trained player, through steps that have a derivative: no `detach`, "
                "rounding or argmax."
            )
        return number, gradient

    def _number(self, value: Tensor) -> float:
        if value.numel() != 1:
            raise MetricError(
                f"Metric {self.name!r} gives shape {tuple(value.shape)}, but only one "
                "number can be traced. Reduce it, for example by `.mean()`."
            )
        if not math.isfinite(number := float(value)):
            raise MetricError(
                f"Metric {self.name!r} is {number}. Most likely the players have diverged: "
                "look at their losses and at samples, or measure an earlier state."
            )
        return number


def of_samples(
    metric: str | Callable[[Tensor], Tensor],
    game: Game,
    features: FeatureMap | None = None,
    *,
    reference: Columns | Tensor | None = None,
    n: int = 2_048,
    seed: int = 0,
    averaged: bool = False,
    chunk: int = 256,
    options: Mapping[str, Any] | None = None,
    name: str | None = None,
    higher_is_better: bool | None = None,
) -> Target:
    """Measure what a game generates, always from the same latents.

    Noise that depends on the parameters counts as constant.

    Args:
        metric: One of `names()`, or a function from the samples' features to a number.
        game: What generates.
        features: From samples to features, or to logits if the metric reads those; by
            default the samples themselves, flattened.
        reference: Real instances to compare with, held out from the game's training; their
            features are computed here, once. Metrics that compare with nothing ignore it.
        n: Number of samples.
        seed: Seed of the latents.
        averaged: Whether moving averages take the place of the players that have one.
        chunk: Number of samples generated at a time, which bounds the memory.
        options: Keywords of the metric, such as `{"bandwidth": 0.5}`.
        name: Name of the result; by default metric, feature map, `n` and options.
        higher_is_better: Direction of a metric that is given as a function.

    Returns:
        The target.

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
    measure = SampleMeasure(
        name=name,
        metric=_bound(name, facts, features, rows, reference, chunk, options),
        rows=rows,
        draw=game.draw,
        sample=_sample(name, game, averaged),
        n=n,
        seed=seed,
        averaged=averaged,
        chunk=chunk,
    )
    reads = reference.ids if isinstance(reference, Columns) else ()
    learnt_from = getattr(features, "trained_on", ())
    extractor = getattr(features, "fingerprint", "")
    return Target(name, facts.higher_is_better, measure, reads, learnt_from, extractor)


def of_state(
    function: Callable[[Params], Scalar], *, name: str, higher_is_better: bool
) -> Target:
    """Measure a state by any differentiable function of every player's tensors.

    Args:
        function: From `State.view()` to a number.
        name: Name of the result.
        higher_is_better: Its direction.

    Returns:
        The target.
    """
    return Target(name, higher_is_better, StateMeasure(name, function))


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
    parts += [f"{key}_{value}" for key, value in options.items() if not callable(value)]
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


def _sample(name: str, game: Game, averaged: bool) -> Sample:
    if game.sample is None:
        raise MetricError(
            f"Metric {name!r} measures samples, but this game's `sample` is None: it "
            "generates nothing. Use `of_state`, or give the game a `sample`."
        )
    if averaged and not game.averages:
        raise MetricError(
            f"Metric {name!r} is to read moving averages, but this game keeps none, so it "
            "would measure the players themselves. Give the game `averages`, such as "
            "{'G': 500.0}, or use `averaged=False`."
        )
    return game.sample


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


def _bound(
    name: str,
    facts: Facts,
    features: FeatureMap | None,
    rows: Callable[[Tensor], Tensor],
    reference: Columns | Tensor | None,
    chunk: int,
    options: dict[str, Any],
) -> Callable[[Tensor], Tensor]:
    """The metric as a function of the fake rows alone.

    Raises:
        MetricError: If there is nothing to compare with.
    """
    if not facts.reads_reference:
        return functools.partial(facts.function, **options)
    if reference is None:
        raise MetricError(
            f"Metric {name!r} compares with real data. Give `reference`, instances that "
            "the game does not train on."
        )
    real = reference["x"] if isinstance(reference, Columns) else reference
    with torch.no_grad():
        known = torch.cat([rows(x).to("cpu", torch.float64) for x in real.split(chunk)])
        width = features(real[:1]).shape[1] if features else 0
    as_read = functools.partial(_as_read, facts, width)
    prepared = facts.prepare(as_read(known)) if facts.prepare else as_read(known)
    return lambda fake: facts.function(prepared, as_read(fake), **options)


def _as_read(facts: Facts, width: int, rows: Tensor) -> Any:
    if facts.needs == "classified":
        return Classified(rows[:, :width], rows[:, width:])
    return rows
