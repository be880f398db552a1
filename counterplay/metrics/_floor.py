"""The same-data floor: what a metric gives to samples that are real data themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.metrics._facts import Classified, Facts


@dataclass(frozen=True)
class Floor:
    """What a perfect generator would get, on average.

    Attributes:
        value: The metric of real rows in the place of the samples.
        n_fake: How many took that place.
        n_real: How many were left to compare with; 0 if the metric compares with none.
    """

    value: float
    n_fake: int
    n_real: int


def same_data_floor(
    facts: Facts,
    real: Tensor | Classified,
    *,
    n: int,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Floor:
    """The metric of `n` random rows of the reference against all its others.

    Of a reference with fewer than 2n rows the two parts are halves. Then the floor of a
    metric that is biased by small numbers is too high for n samples, so look at `n_fake`.

    Args:
        facts: The metric, from `metrics.load`.
        real: The reference, as the metric reads it.
        n: How many samples a generator is given.
        seed: Seed of the parts.
        options: Keywords of the metric.

    Returns:
        The value, and the sizes that it holds for.

    Raises:
        DataError: If the rows in the place of samples are too few for the metric.
    """
    n_rows = len(real[0]) if isinstance(real, Classified) else len(real)
    n_fake = min(n, n_rows // 2 if facts.reads_reference else n_rows)
    if n_fake < facts.minimum_samples:
        raise DataError(
            f"A floor of {n} samples from {n_rows} rows of `real` would measure {n_fake}, "
            f"but this metric has no value below {facts.minimum_samples}. Give more."
        )
    order = _rng.permutation(n_rows, seed, "floor")
    fake, given = _rows(real, order[:n_fake]), []
    if facts.reads_reference:
        rest = _rows(real, order[n_fake:])
        given = [facts.prepare(rest) if facts.prepare else rest]
    value = float(facts.function(*given, fake, **(options or {})))
    return Floor(value, n_fake, (n_rows - n_fake) * facts.reads_reference)


def _rows(real: Tensor | Classified, index: Tensor) -> Tensor | Classified:
    if isinstance(real, Classified):
        return Classified(*(part[index] for part in real))
    return real[index]
