"""How fair a generator is, and how much of what is measured is the classifier's error."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay._confusion import (
    Confusion,
    corrected,
    measure_confusion,
    measured,
    Said,
    Shares,
)
from counterplay.errors import DataError
from counterplay.game import Columns
from counterplay.metrics._shares import (
    discrepancy,
    measures_for,
    reference_of,
    rows_of,
    transport_distance,
)


Rows = list[dict[str, Any]]
ENOUGH_INSTANCES = 1_000  # of each class, for a correction that surely helps
CHUNK = 256  # samples at a time, which bounds the memory


class AttributeClassifier(Protocol):
    """What is needed of a classifier, such as those of `counterplay.features`."""

    def logits(self, x: Tensor, /) -> Tensor:
        """One row per sample, one column per class."""
        ...


@dataclass(frozen=True)
class FairnessReport:
    """The shares of the classes of samples, and how far they are from the wanted ones.

    Attributes:
        measured: As the classifier says.
        corrected: Without its errors, as far as they are known; `measured` if not.
        reference: The wanted shares.
        confusion: The classifier's errors, if they were measured.
        n_samples: Number of samples.
        class_names: Names of the classes.
    """

    measured: Shares
    corrected: Shares
    reference: Float[Tensor, " k"]
    confusion: Confusion | None
    n_samples: int
    class_names: tuple[str, ...]

    def classes(self) -> Rows:
        """A row per class: who is missing, which no measure tells."""
        recalls = self.confusion.rates.diagonal() if self.confusion else None
        return [
            {
                "class": name,
                "wanted": float(self.reference[i]),
                "measured": float(self.measured.values[i]),
                "corrected": float(self.corrected.values[i]),
                "low": float(self.corrected.low[i]),
                "high": float(self.corrected.high[i]),
                "recognised": None if recalls is None else float(recalls[i]),
            }
            for i, name in enumerate(self.class_names)
        ]

    def rows(self) -> Rows:
        """A row per measure of `metrics.fairness.discrepancy`.

        `raw` and `normalised` are of the measured shares, `corrected_raw` and `corrected`
        (normalised) of the corrected ones, `low` and `high` the 95 % interval of the last.
        `noise` is what a fair generator would stay below in 95 % of such measurements,
        and what the verdict goes by.
        """
        return [self._row(measure) for measure in measures_for(self.reference)]

    def transport(self, distance: Float[Tensor, "a b"]) -> dict[str, float]:
        """The Wasserstein-1 distance of the shares from the wanted ones.

        Args:
            distance: How far each class is from each other one, 0 on the diagonal.

        Returns:
            As the classifier says, and corrected.
        """
        return {
            name: transport_distance(shares.values, distance, reference=self.reference)
            for name, shares in (
                ("measured", self.measured),
                ("corrected", self.corrected),
            )
        }

    def _row(self, measure: str) -> dict[str, Any]:
        def of(p: Tensor, *, normalised: bool = True) -> Tensor:
            return discrepancy(p, measure, reference=self.reference, normalised=normalised)

        spread = of(self.corrected.draws(self.corrected.values))
        limits = torch.tensor([0.025, 0.975], dtype=torch.float64)
        low, high = torch.quantile(spread, limits).tolist()
        noise = float(torch.quantile(of(self.corrected.draws(self.reference)), 0.95))
        apparent = torch.quantile(of(self.measured.draws(self.reference)), 0.95)
        value, shown = float(of(self.corrected.values)), float(of(self.measured.values))
        return {
            "measure": measure,
            "raw": float(of(self.measured.values, normalised=False)),
            "normalised": shown,
            "corrected_raw": float(of(self.corrected.values, normalised=False)),
            "corrected": value,
            "low": low,
            "high": high,
            "noise": noise,
            "verdict": self._verdict(value > noise, shown > float(apparent)),
        }

    def _verdict(self, unfair: bool, looks_unfair: bool) -> str:
        if self.confusion is None:
            return f"{'unfair' if unfair else 'fair'}, if the classifier never errs"
        if unfair:
            return "unfair" if looks_unfair else "unfair, hidden by the classifier's errors"
        return "fair, the classifier errs" if looks_unfair else "fair"


def report_of(
    said: Said,
    confusion: Confusion | None = None,
    *,
    reference: Sequence[float] | Tensor = (),
    class_names: Sequence[str] = (),
) -> FairnessReport:
    """How fair samples are of which a classifier's answers are known.

    Args:
        said: Its answers: probabilities, or `one_hot` of the classes it names.
        confusion: Its errors; without them they are taken for the generator's unfairness.
        reference: The wanted shares; equal ones by default.
        class_names: Names of the classes; numbers by default.

    Returns:
        The report.

    Warns:
        UserWarning: If the errors were measured on few instances.
    """
    k = said.shape[1]
    if confusion is not None and 0 < int(confusion.n_instances.min()) < ENOUGH_INSTANCES:
        warnings.warn(
            f"The classifier's errors are measured on {int(confusion.n_instances.min())} "
            f"instances of the rarest class. The interval says how uncertain the corrected "
            f"shares are for that; below about {ENOUGH_INSTANCES} labelled instances of "
            "each class a correction may help little. Label more.",
            stacklevel=3,
        )
    shares = measured(said)
    return FairnessReport(
        measured=shares,
        corrected=shares if confusion is None else corrected(shares, confusion),
        reference=reference_of(k, reference),
        confusion=confusion,
        n_samples=len(said),
        class_names=tuple(class_names) or tuple(str(i) for i in range(k)),
    )


def fairness_report(
    samples: Tensor | Iterable[Tensor],
    classifier: AttributeClassifier,
    labelled: Columns | None = None,
    *,
    reference: Sequence[float] | Tensor = (),
    groups: Sequence[int] = (),
    soft: bool = False,
    class_names: Sequence[str] = (),
) -> FairnessReport:
    """How fair samples are, as far as an imperfect classifier can tell.

    Args:
        samples: What was generated, at once or in chunks.
        classifier: What tells their classes.
        labelled: Instances with column "y" that the classifier has not learnt from, some
            1,000 of each class; its errors are measured on them. Without, they are taken
            for the generator's unfairness.
        reference: The wanted shares; equal ones by default.
        groups: The class that each logit and label counts for; by default its own.
        soft: Use probabilities instead of decisions.
        class_names: Names of the classes; numbers by default.

    Returns:
        The report.
    """
    parts = samples.split(CHUNK) if isinstance(samples, Tensor) else samples
    with torch.no_grad():
        said = torch.cat([rows_of(classifier.logits(x), groups, soft=soft) for x in parts])
    confusion = None
    if labelled is not None:
        confusion = _confusion(classifier, labelled, groups, soft)
        class_names = class_names or (() if len(groups) else labelled.class_names)
    return report_of(said, confusion, reference=reference, class_names=class_names)


def _confusion(
    classifier: AttributeClassifier, labelled: Columns, groups: Sequence[int], soft: bool
) -> Confusion:
    """The errors of a classifier, which numbers the labels as they are sorted.

    Raises:
        DataError: If it has learnt from the instances, or has other classes.
    """
    learnt = set(getattr(classifier, "trained_on", ())).intersection(labelled.ids)
    if learnt:
        raise DataError(
            f"The classifier has learnt from {len(learnt)} of the {len(labelled)} labelled "
            f"instances, {min(learnt)!r} for one. There it errs less than on samples; give "
            "`labelled` that it has not seen."
        )
    classes, y = labelled["y"].unique(return_inverse=True)
    with torch.no_grad():
        logits = torch.cat([classifier.logits(x) for x in labelled["x"].split(CHUNK)])
    if len(classes) != logits.shape[1]:
        raise DataError(
            f"The labelled instances are of the classes {classes.tolist()}, but the "
            f"classifier tells {logits.shape[1]} apart. Its errors on each must be known; "
            "give instances of all its classes."
        )
    y = torch.tensor(groups)[y] if len(groups) else y
    return measure_confusion(rows_of(logits, groups, soft=soft), y)
