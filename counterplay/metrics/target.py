"""Targets: what a trace differentiates, a number and its gradient in a game's state."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from counterplay.errors import MetricError
from counterplay.game import Columns, Game, Sample, State
from counterplay.metrics._floor import Floor
from counterplay.metrics._measures import Measure, SampleMeasure, StateMeasure, TRAINED
from counterplay.metrics._reading import read
from counterplay.typing import FeatureMap, Params, Scalar, Tensors


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
        of_real: What real instances get in place of samples, from the seed that draws them.
    """

    name: str
    higher_is_better: bool
    measure: Measure
    reads: tuple[str, ...] = ()
    learnt_from: tuple[str, ...] = ()
    extractor: str = ""
    of_real: Callable[[int], Floor | None] = lambda seed: None

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
    reading = read(
        metric,
        features,
        reference,
        n=n,
        chunk=chunk,
        options=options,
        name=name,
        averaged=averaged,
        higher_is_better=higher_is_better,
    )
    measure = SampleMeasure(
        name=reading.name,
        metric=reading.metric,
        rows=reading.rows,
        draw=game.draw,
        sample=_sample(reading.name, game, averaged),
        n=n,
        seed=seed,
        averaged=averaged,
        chunk=chunk,
    )
    return Target(
        name=reading.name,
        higher_is_better=reading.facts.higher_is_better,
        measure=measure,
        reads=reading.reads,
        learnt_from=reading.learnt_from,
        extractor=reading.extractor,
        of_real=reading.of_real,
    )


def of_state(
    function: Callable[[Params], Scalar],
    *,
    name: str,
    higher_is_better: bool,
    averaged: bool = False,
) -> Target:
    """Measure a state by any differentiable function of every player's tensors.

    Args:
        function: From `State.view()` to a number.
        name: Name of the result.
        higher_is_better: Its direction.
        averaged: Whether moving averages take the place of the players that have one.

    Returns:
        The target.
    """
    return Target(name, higher_is_better, StateMeasure(name, function, averaged))


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
