"""The simulated-bias benchmark: how wrong is fairness measured, and how much is corrected?

Labelled instances stand for a generator whose class shares are chosen, so the truth is
known. A classifier looks at them; the discrepancy of what it says, as it is and corrected,
is compared with the discrepancy of the truth.

Source: Teo and Cheung 2021, arXiv 2107.07754 (the simulated generators); Teo et al. 2023,
CLEAM, arXiv 2310.19297 (the correction).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot

from counterplay import _rng, data as datasets, executors, features
from counterplay._confusion import Confusion, corrected, measure_confusion, measured
from counterplay._study import one_thread
from counterplay.errors import ConfigError, DataError
from counterplay.game import Columns
from counterplay.metrics._shares import discrepancy, MEASURES


Rows = list[dict[str, Any]]
Points = Float[Tensor, "points k"]  # shares of simulated generators, one per row
Classify = Callable[[Tensor], Int[Tensor, " n"]]


@dataclass(frozen=True)
class SimulatedBias:
    """How the benchmark is run.

    Attributes:
        groups: Attributes by name: the class of the attribute that each label counts for.
        classifier: `"logistic"` regression of the pixels, or a small `"network"`.
        n_train: Instances of the training part that a classifier learns from; one
            classifier for each number. All others, of all parts, are shuffled and halved:
            one half measures the classifier's errors, the other stands for the generator.
        side: Side of the images after mean pooling; 0 leaves them as they are.
        families: Which shares the generators have, see `FAMILIES`.
        measures: Which discrepancies are compared.
        n_batches: Batches of samples that are looked at.
        batch_size: Samples of a batch, at most as many as the rarest class has instances; 0
            for all of them.
        n_draws: Number of random distributions.
    """

    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    classifier: Literal["logistic", "network"] = "logistic"
    n_train: Sequence[int] = (400,)
    side: int = 0
    families: Sequence[str] = ("one_hot", "uniform", "line", "sweep", "random", "bias_one")
    measures: Sequence[str] = tuple(MEASURES)
    n_batches: int = 30
    batch_size: int = 1_000
    n_draws: int = 1_000

    def __post_init__(self):
        if not self.groups:
            raise ConfigError(
                "The table [fairness] has no `groups`, so there is no attribute to be fair "
                'about. Give one, such as groups = {"odd" = [0, 1, 0, 1]}: a class for '
                "each label."
            )
        for what, known in (("families", FAMILIES), ("measures", MEASURES)):
            for name in getattr(self, what):
                if name not in known:
                    raise ConfigError(
                        f"There is no {name!r} in `fairness.{what}`; there are "
                        f"{list(known)}."
                    )


def one_hot_points(k: int, n: int, random: np.random.Generator) -> Points:
    """Generators of a single class each."""
    del n, random
    return torch.eye(k, dtype=torch.float64)


def uniform_point(k: int, n: int, random: np.random.Generator) -> Points:
    """The fair generator."""
    del n, random
    return torch.full((1, k), 1 / k, dtype=torch.float64)


def line(k: int, n: int, random: np.random.Generator) -> Points:
    """Straight from each class to equal shares, 26 generators each, both ends included."""
    del n, random
    t = torch.linspace(0, 1, 26, dtype=torch.float64)[:, None, None]
    points = (1 - t) * torch.eye(k, dtype=torch.float64) + t / k
    return points.transpose(0, 1).reshape(-1, k)


def sweep(k: int, n: int, random: np.random.Generator) -> Points:
    """From the first class to equal shares, filling one other class after another.

    Mass moves in steps of 0.01 for 2 and 4 classes, 0.005 for 8 and 0.0025 for 16, from the
    first class alone to just before equal shares: 50, 77, 181 and 389 generators. A full
    class counts twice, as its end and as the next one's begin.
    """
    del n, random
    n_moves = 50 if k == 2 else 25
    filled = torch.linspace(0, 1 / k, n_moves + 1, dtype=torch.float64)
    points = torch.zeros(k - 1, n_moves + 1, k, dtype=torch.float64)
    for row in range(k - 1):
        points[row, :, 1 : row + 1] = 1 / k
        points[row, :, row + 1] = filled
    points = points.reshape(-1, k)[:-1]
    points[:, 0] = 1 - points.sum(1)
    return points


def random_points(k: int, n: int, random: np.random.Generator) -> Points:
    """Independent uniform numbers, scaled to sum 1."""
    points = torch.from_numpy(random.random((n, k)))
    return points / points.sum(1, keepdim=True)


def bias_one(k: int, n: int, random: np.random.Generator) -> Points:
    """Uniform mass on one random class, the rest shared equally."""
    mass = torch.from_numpy(random.random((n, 1)))
    chosen = one_hot(torch.from_numpy(random.integers(k, size=n)), k)
    return chosen * mass + (1 - chosen) * (1 - mass) / (k - 1)


FAMILIES: dict[str, Callable[[int, int, np.random.Generator], Points]] = {
    "one_hot": one_hot_points,
    "uniform": uniform_point,
    "line": line,
    "sweep": sweep,
    "random": random_points,
    "bias_one": bias_one,
}


@dataclass(frozen=True)
class Pool:
    """A classifier's answers to as many instances of each class.

    Attributes:
        answers: Row i counts what it says of the instances of class i.
    """

    answers: Int[Tensor, "k k"]

    @classmethod
    def balanced(cls, named: Int[Tensor, " n"], y: Int[Tensor, " n"], k: int) -> "Pool":
        """From as many instances of each class as the rarest has, the first ones."""
        size = int(y.bincount(minlength=k).min())
        return cls(
            torch.stack([named[y == i][:size].bincount(minlength=k) for i in range(k)])
        )

    @property
    def size(self) -> int:
        """Instances of each class."""
        return int(self.answers[0].sum())

    def generate(
        self,
        shares: Float[Tensor, " k"],
        *,
        n_batches: int,
        batch_size: int,
        random: np.random.Generator,
    ) -> tuple[Float[Tensor, "batches k"], Float[Tensor, " k"]]:
        """Batches from a simulated generator.

        Each batch has `round(batch_size * shares)` instances, drawn without replacement.
        What the classifier says of them is hypergeometric, and drawn as such.

        Args:
            shares: What it generates.
            n_batches: Number of batches.
            batch_size: Samples of a batch; at most `size`, also if it is 0.
            random: Where the draws come from.

        Returns:
            The shares of each batch as the classifier says, and the true ones.
        """
        size = min(batch_size or self.size, self.size)
        counts = (size * shares).round().long()
        said = sum(
            random.multivariate_hypergeometric(row, n, size=n_batches)
            for row, n in zip(self.answers.tolist(), counts.tolist(), strict=True)
        )
        total = counts.sum()
        return torch.as_tensor(said).double() / total, counts.double() / total


def reproduce(
    data: Mapping[str, Any],
    study: SimulatedBias,
    seeds: Sequence[int],
    n_jobs: int = 1,
    executor: executors.Choice = None,
) -> Rows:
    """The benchmark over several seeds, each with its own division of the data.

    Args:
        data: `name` of a labelled data set and its options.
        study: How it is run.
        seeds: Seeds of the data, the classifiers and the draws.
        n_jobs: Seeds at once.
        executor: Who computes several seeds, see `counterplay.executors`.

    Returns:
        A row per attribute, classifier, family and measure: the mean absolute error of the
        normalised discrepancy, uncorrected and corrected, with the lowest and the highest
        seed of the latter, and the share of generators where the correction is better.

    Raises:
        ConfigError: If the data has no name.
    """
    if "name" not in data:
        raise ConfigError('The table [data] needs a `name`, such as [data] name = "...".')
    place, _ = executors.divided(min(n_jobs, len(seeds)), executor)
    studying = functools.partial(study_seed, data, study)
    by_seed = executors.in_order(place.map(studying, list(seeds)))
    return [_mean(rows) for rows in zip(*by_seed, strict=True)]


@one_thread()
def study_seed(data: Mapping[str, Any], study: SimulatedBias, seed: int) -> Rows:
    """The benchmark for one seed."""
    splits = datasets.load(**{**data, "seed": seed})
    rows = []
    for attribute, groups in study.groups.items():
        train, valid, test = (
            _relabelled(part, groups, study.side, seed)
            for part in (splits.train, splits.valid, splits.test)
        )
        k = max(groups) + 1
        for n_train in study.n_train:
            _require_enough(train["y"][:n_train], n_train, k)
            classify = _trained(study.classifier, train.select(range(n_train)), seed)
            x, y = (torch.cat([train[c][n_train:], valid[c], test[c]]) for c in ("x", "y"))
            named = classify(x)
            order = _rng.permutation(len(y), seed, "fairness", "halves")
            judged, shown = order.tensor_split(2)
            confusion = measure_confusion(one_hot(named[judged], k), y[judged])
            pool = Pool.balanced(named[shown], y[shown], k)
            facts = {
                "attribute": attribute,
                "k": k,
                "classifier": study.classifier,
                "n_train": n_train,
                "accuracy": confusion.accuracy,
            }
            rows += [{**facts, **row} for row in errors(confusion, pool, study, seed)]
    return rows


def _relabelled(part: Columns, groups: Sequence[int], side: int, seed: int) -> Columns:
    """The attribute in place of the label, in random order, with images made smaller.

    Raises:
        DataError: If there is a label without a class.
    """
    unknown = part["y"][(part["y"] < 0) | (part["y"] >= len(groups))]
    if len(unknown):
        raise DataError(
            f"`fairness.groups` gives classes to the labels 0 to {len(groups) - 1}, but "
            f"there is the label {int(unknown.max())}. Give each label a class; -1 is none."
        )
    x = adaptive_avg_pool2d(part["x"], side) if side else part["x"]
    relabelled = replace(part, tensors={"x": x, "y": torch.tensor(groups)[part["y"]]})
    return relabelled.select(_rng.permutation(len(part), seed, "fairness", "order"))


def _require_enough(y: Int[Tensor, " n"], n_train: int, k: int) -> None:
    if len(y) < n_train or len(y.unique()) < k:
        raise DataError(
            f"`fairness.n_train` is {n_train}, and the training part gives {len(y)} "
            f"instances of {len(y.unique())} classes to learn from, but the attribute has "
            f"{k}. Choose another number, or data with more instances."
        )


def _trained(classifier: str, learnt: Columns, seed: int) -> Classify:
    if classifier == "network":
        network = features.classifier(learnt, seed=seed)
        return lambda x: torch.cat(
            [network.logits(part).argmax(1) for part in x.split(256)]
        )
    pixels = ((learnt["x"] + 1) / 2).flatten(1)  # [0, 1], where the penalty is usual
    model = LogisticRegression(C=0.05, max_iter=2_000).fit(pixels, learnt["y"])
    return lambda x: torch.from_numpy(model.predict(((x + 1) / 2).flatten(1)))


def errors(confusion: Confusion, pool: Pool, study: SimulatedBias, seed: int) -> Rows:
    """How far the discrepancies are off, per family and measure.

    Args:
        confusion: The classifier's errors, as measured.
        pool: Its answers to the instances that stand for generators.
        study: Which generators, and how many samples.
        seed: Seed of the draws.

    Returns:
        A row per family and measure.
    """
    rows = []
    for family in study.families:
        random = np.random.default_rng(_rng.derive(seed, "fairness", family))
        as_seen, as_corrected, true = [], [], []
        for shares in FAMILIES[family](len(confusion.rates), study.n_draws, random):
            batches, truth = pool.generate(
                shares,
                n_batches=study.n_batches,
                batch_size=study.batch_size,
                random=random,
            )
            seen = measured(batches)
            as_seen.append(seen.values)
            as_corrected.append(corrected(seen, confusion).values)
            true.append(truth)
        for measure in study.measures:
            wrong, left = (
                (_normalised(found, measure) - _normalised(true, measure)).abs()
                for found in (as_seen, as_corrected)
            )
            rows.append(
                {
                    "family": family,
                    "measure": measure,
                    "uncorrected": float(wrong.mean()),
                    "corrected": float(left.mean()),
                    "better": float((left <= wrong).double().mean()),
                }
            )
    return rows


def _normalised(shares: Sequence[Tensor], measure: str) -> Tensor:
    return discrepancy(torch.stack(list(shares)), measure, normalised=True)


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of several seeds: means, and the extremes of the corrected error."""
    numbers = ("accuracy", "uncorrected", "corrected", "better")
    left = [row["corrected"] for row in rows]
    means = {name: float(np.mean([row[name] for row in rows])) for name in numbers}
    return {**rows[0], **means, "low": min(left), "high": max(left), "n_seeds": len(rows)}
