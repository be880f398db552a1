"""A metric's value with what is needed to read it: samples, seeds, spread, real data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from counterplay import _rng
from counterplay.errors import ConfigError, MetricError
from counterplay.game import Columns, State
from counterplay.metrics._measures import SampleMeasure
from counterplay.metrics._reading import read
from counterplay.metrics.target import Target
from counterplay.typing import FeatureMap


SEED_STEP = 1_000  # validation and test data have neighbouring seeds


@dataclass(frozen=True)
class Score:
    """A metric's value and what is needed to read it.

    Attributes:
        metric: What was measured, protocol included.
        value: Its value; over several seeds the mean.
        low: Lower end of its 95 % interval; NaN if nothing says how it varies.
        high: Upper end.
        of_real: What real instances get in place of samples: no generator need be better.
            NaN if there are too few.
        n_of_real: How many these are; if fewer than `n`, `of_real` is too bad for a metric
            that is biased by small numbers.
        higher_is_better: Direction of the metric.
        n: Number of samples.
        seeds: Seeds of the latents; empty for samples from a file.
        extractor: Fingerprint of the feature map.
    """

    metric: str
    value: float
    low: float
    high: float
    of_real: float
    n_of_real: int
    higher_is_better: bool
    n: int
    seeds: tuple[int, ...]
    extractor: str

    def row(self) -> dict[str, Any]:
        """One row for tables and files; what is not known is None."""
        row = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(self).items()
        }
        row["better"] = "higher" if row.pop("higher_is_better") else "lower"
        row["seeds"] = " ".join(map(str, self.seeds))
        return row


def score(target: Target, state: State, *, repeats: int = 1) -> Score:
    """Measure a state, over several sets of latents if asked to.

    Args:
        target: The metric.
        state: The state of a game.
        repeats: Sets of latents; two and more give an interval, by Student's t.

    Returns:
        The score.

    Raises:
        ConfigError: If `repeats` is below 1.
        MetricError: If the metric reads no samples, but is to be repeated.
    """
    if repeats < 1:
        raise ConfigError(f"`repeats` must be at least 1, got {repeats!r}.")
    measure = target.measure
    if not isinstance(measure, SampleMeasure):
        if repeats > 1:
            raise MetricError(
                f"Metric {target.name!r} reads no samples, so {repeats} sets of latents "
                "would give the same value. Use `repeats=1`."
            )
        return _score(target, [target.value(state)], n=0, seeds=())
    seeds = tuple(measure.seed + SEED_STEP * i for i in range(repeats))
    values = [
        replace(target, measure=replace(measure, seed=seed)).value(state) for seed in seeds
    ]
    return _score(target, values, n=measure.n, seeds=seeds)


def score_samples(
    metric: str,
    fake: Tensor,
    features: FeatureMap | None = None,
    *,
    reference: Columns | Tensor | None = None,
    options: Mapping[str, Any] | None = None,
    n_resamples: int = 0,
    seed: int = 0,
    chunk: int = 256,
) -> Score:
    """Measure samples that are there already, from whatever made them.

    Args:
        metric: One of `counterplay.metrics.names()`.
        fake: The samples, or their features if there is no feature map.
        features: From samples to features.
        reference: Real instances to compare with.
        options: Keywords of the metric.
        n_resamples: Bootstrap resamples of the samples, for an interval. Repeated rows bias
            many metrics, so the resamples only say how widely the value varies.
        seed: Seed of the resamples and of what stands for real data.
        chunk: Samples in the feature map at a time.

    Returns:
        The score.

    Raises:
        ConfigError: If `n_resamples` is negative or 1.
        MetricError: If the metric cannot be computed from what is given.
    """
    if n_resamples < 0 or n_resamples == 1:
        raise ConfigError(
            f"`n_resamples` must be 0, for no interval, or at least 2, got {n_resamples!r}."
        )
    found = read(
        metric, features, reference, n=len(fake), chunk=chunk, options=options
    )  # fmt: skip
    with torch.no_grad():
        rows = torch.cat(
            [found.rows(x).to("cpu", torch.float64) for x in fake.split(chunk)]
        )
        value = float(found.metric(rows))
        random = _rng.generator(seed, "bootstrap")
        resampled = [
            float(
                found.metric(rows[torch.randint(len(rows), (len(rows),), generator=random)])
            )
            for _ in range(n_resamples)
        ]
    low = high = math.nan
    floor = found.of_real(seed)
    if resampled:
        shifts = np.array(resampled) - np.mean(resampled)
        low, high = (value + np.quantile(shifts, [0.025, 0.975])).tolist()
    return Score(
        metric=found.name,
        value=value,
        low=low,
        high=high,
        of_real=math.nan if floor is None else floor.value,
        n_of_real=0 if floor is None else floor.n_fake,
        higher_is_better=found.facts.higher_is_better,
        n=len(fake),
        seeds=(),
        extractor=found.extractor,
    )


def _score(
    target: Target, values: Sequence[float], *, n: int, seeds: tuple[int, ...]
) -> Score:
    mean, low, high = float(np.mean(values)), math.nan, math.nan
    floor = target.of_real(seeds[0] if seeds else 0)
    if len(values) > 1:
        reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        low, high = mean - float(reach), mean + float(reach)
    return Score(
        metric=target.name,
        value=mean,
        low=low,
        high=high,
        of_real=math.nan if floor is None else floor.value,
        n_of_real=0 if floor is None else floor.n_fake,
        higher_is_better=target.higher_is_better,
        n=n,
        seeds=seeds,
        extractor=target.extractor,
    )
