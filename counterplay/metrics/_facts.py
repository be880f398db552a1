"""What is known about a metric, and the check that every metric makes of its rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from counterplay.errors import DataError


class Classified(NamedTuple):
    """Rows as a classifier sees them."""

    features: Tensor  # (n, d)
    logits: Tensor  # (n, k)


@dataclass(frozen=True)
class Facts:
    """What is known about a metric.

    Attributes:
        function: The metric, `(real, fake, **options)`, or `(fake, **options)` if it reads
            no reference.
        higher_is_better: Its direction.
        bounds: The least and the greatest value it can take.
        needs: What the function is given: features, a classifier's logits, both as
            `Classified`, or the samples as they are, images unflattened.
        minimum_samples: Below this many rows it has no value. Its bias may ask for far
            more.
        rows_per_column: With fewer real or fake rows for each column, the value is mostly
            bias, which a warning says.
        differentiable: Whether it has a gradient.
        reads_reference: Whether it compares with real data.
        reads_training: Whether these should be the game's training data, as copies are to
            be found; all other metrics compare with data that was held out.
        prepare: What can be done with the reference once and for all.
    """

    function: Callable[..., Tensor]
    higher_is_better: bool
    bounds: tuple[float, float] = (-math.inf, math.inf)
    needs: Literal["features", "logits", "classified", "samples"] = "features"
    minimum_samples: int = 1
    rows_per_column: int = 0
    differentiable: bool = True
    reads_reference: bool = True
    reads_training: bool = False
    prepare: Callable[[Any], Any] | None = None


def checked(
    what: str, rows: Tensor, *, minimum: int = 1, width: int | None = None
) -> Tensor:
    """The rows in float64, once they are known to be a finite matrix.

    Args:
        what: The argument's name, for the error.
        rows: What should be one row per instance or sample.
        minimum: The least number of rows.
        width: The number of columns, if it is known.

    Returns:
        The same matrix; differentiable.

    Raises:
        DataError: If it is not a matrix, has too few rows, other columns, or is not finite.
    """
    if rows.dim() != 2:
        how = ".flatten(1)" if rows.dim() > 2 else "[:, None]"
        raise DataError(
            f"`{what}` has shape {tuple(rows.shape)}, but a metric reads a matrix with one "
            f"row per instance or sample. Use `{what}{how}`, or a feature map."
        )
    if len(rows) < minimum:
        raise DataError(
            f"`{what}` has {len(rows)} rows, but this metric has no value below {minimum}. "
            "Give more rows."
        )
    if width is not None and rows.shape[1] != width:
        raise DataError(
            f"`{what}` has {rows.shape[1]} columns, but what it is compared with has "
            f"{width}. Both must come from the same feature map."
        )
    if torch.isfinite(rows.detach().sum()):  # a tenth of the cost of looking at each
        return rows.to(torch.float64)
    finite = torch.isfinite(rows).all(1)
    if not finite.all():
        raise DataError(
            f"{int((~finite).sum())} of {len(rows)} rows of `{what}` hold NaN or infinity, "
            f"the first is row {int((~finite).nonzero()[0])}. No metric has a value there; "
            "look at what made them."
        )
    return rows.to(torch.float64)
