"""Experiments from files: the papers' and ours, one TOML file each.

A file holds a recipe and one further table that says what is studied:

- `[ladder]`: how well influence predicts retraining when weights are lowered a little,
  more, and to 0, for traces of several lengths.
- `[cleansing]`: what removing the harmful gains on test data, against other ways to choose.
- `[fairness]`: how wrong an imperfect classifier measures fairness, and how much of it is
  corrected; it plays nothing, so beside it only `[data]` is read.
- `[spectrum]`: what swapping the generator's last layer does to the power spectrum, and to
  a detector that tells fakes by it.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from counterplay import executors
from counterplay._adjoint import Mollified, Unroll
from counterplay._atomic import make_folder
from counterplay._bank import Bank
from counterplay._cleanse import compare, FRACTIONS
from counterplay._fairness_study import reproduce, SimulatedBias
from counterplay._influence import Influence, trace
from counterplay._recipe import Recipe
from counterplay._spectrum_study import Swap, swap_last_layer
from counterplay._statistics import spearman
from counterplay._study import cleanse_seeds, one_thread
from counterplay._toml import read_anchored
from counterplay._verify import verify
from counterplay.errors import ConfigError
from counterplay.executors import Executor, in_order


Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Ladder:
    """How a weight ladder is climbed.

    Attributes:
        epochs: Lengths of the traced tail in passes over the data; 0 is the whole run.
        lowered: How far weights of single instances are lowered; 1 removes them.
        instances: Instances lowered one at a time.
        subsets: Random groups removed per fraction.
        fractions: Shares of the data in a group.
        mollified: Whether influence that sees kinks is compared with the same truth.
        chunk: Runs played at once.
    """

    epochs: Sequence[int] = (1, 5, 10, 20, 0)
    lowered: Sequence[float] = (0.001, 0.01, 0.1, 1.0)
    instances: int = 200
    subsets: int = 100
    fractions: Sequence[float] = (0.01, 0.05, 0.1)
    mollified: bool = False
    chunk: int = 64


@dataclass(frozen=True)
class Sweep:
    """How a cleansing experiment is run.

    Attributes:
        fractions: Shares of the data that are removed.
        last_epochs: Retrain only the last passes over the data; 0 retrains the whole run.
        executor: Who retrains, see `counterplay.executors`; the best if left out.
        chunk: Runs played at once.
        along: If above 0, influence averaged on the way to removing this share is compared
            too.
    """

    fractions: Sequence[float] = FRACTIONS
    along: float = 0.0
    last_epochs: int = 0
    executor: executors.Name | None = None
    chunk: int = 32


Study = TypeVar("Study", Ladder, Sweep, SimulatedBias, Swap)


def run(
    path: Path | str,
    folder: Path | str,
    *,
    seeds: Sequence[int],
    n_jobs: int = 1,
    executor: executors.Choice = None,
) -> Rows:
    """Run an experiment file; finished retrainings in `folder` are not repeated.

    Args:
        path: The TOML file.
        folder: Where finished retrainings are kept.
        seeds: Runs to repeat it over.
        n_jobs: Seeds played at once.
        executor: Who plays, instead of what the file says: several seeds at once if there
            are, else the runs of each.

    Returns:
        The table of results, one row per number.

    Raises:
        ConfigError: If the file has none of the tables that say what is studied, or an
            unknown key in it.
    """
    tables = read_anchored(path)
    make_folder(Path(folder))
    if "fairness" in tables:
        study = _made(SimulatedBias, "fairness", tables)
        return reproduce(tables.get("data", {}), study, seeds, n_jobs, executor)
    recipe = Recipe.load(path)
    places = executors.divided(min(n_jobs, len(seeds)), executor)
    if "ladder" in tables:
        ladder = _made(Ladder, "ladder", tables)
        climbing = functools.partial(climb, recipe, ladder, Path(folder), places[1])
        return summarise(_per_seed(climbing, places[0], seeds))
    if "spectrum" in tables:
        swap = _made(Swap, "spectrum", tables)
        swapping = functools.partial(_swap, recipe, swap, Path(folder))
        rows = _per_seed(swapping, places[0], seeds)
        return summarise(rows, keys=("source", "measure"))
    if "cleansing" in tables:
        sweep = _made(Sweep, "cleansing", tables)
        if executor is not None:
            sweep = replace(sweep, executor=executor)
        return cleanse_all(recipe, sweep, Path(folder), seeds, n_jobs)
    raise ConfigError(
        f"{str(path)!r} has neither a table [ladder] nor [cleansing], [fairness] or "
        "[spectrum], so there is nothing to study. See the files in `experiments/`."
    )


def _per_seed(
    one_seed: Callable[[int], Rows], place: Executor, seeds: Sequence[int]
) -> Rows:
    return [row for rows in in_order(place.map(one_seed, list(seeds))) for row in rows]


def _made(study: type[Study], name: str, tables: dict[str, Any]) -> Study:
    known = [field.name for field in fields(study)]
    for key in tables[name]:
        if key not in known:
            raise ConfigError(f"There is no key of [{name}] {key!r}; there are {known}.")
    return study(**tables[name])


def _swap(recipe: Recipe, swap: Swap, folder: Path, seed: int) -> Rows:
    return swap_last_layer(recipe.with_seed(seed), swap, folder)


@one_thread()
def climb(
    recipe: Recipe, ladder: Ladder, folder: Path, executor: executors.Choice, seed: int
) -> Rows:
    """The weight ladder of one seed: agreement rows for every trace length and metric."""
    recipe = recipe.with_seed(seed)
    game, data = recipe.make_game(), recipe.splits.train
    trajectory = recipe.record(game)
    targets = recipe.targets(game)
    bank = Bank(folder / f"bank_{recipe.seed}.jsonl")
    rows = []
    for n_epochs in ladder.epochs:
        since = trajectory.epochs_back(game, n_epochs) if n_epochs else 0
        last = trajectory.n_steps - since
        adjoints = [Unroll(last), *([Mollified(last)] if ladder.mollified else [])]
        by_adjoint = [
            trace(game, data, trajectory, targets, adjoint=adjoint) for adjoint in adjoints
        ]
        agreements = verify(
            game,
            data,
            trajectory,
            targets,
            [one for influences in by_adjoint for one in influences],
            instances=ladder.instances,
            lowered=ladder.lowered,
            subsets=ladder.subsets,
            fractions=ladder.fractions,
            since=since,
            executor=executor,
            chunk=ladder.chunk,
            bank=bank,
        )
        rows += [
            {"seed": recipe.seed, "epochs": n_epochs, **row}
            for agreement in agreements
            for row in agreement.rows()
        ]
        rows += [
            {"seed": recipe.seed, "epochs": n_epochs, **row}
            for influences in by_adjoint
            for row in _harm_in_common(influences)
        ]
    return rows


def _harm_in_common(influences: Sequence[Influence]) -> Rows:
    """Rank correlation between metrics of which instances are harmful."""
    return [
        {
            "metric": one.metric,
            "adjoint": one.adjoint,
            "change": f"harm to {other.metric}",
            "size": 1.0,
            "measure": "spearman",
            "value": float(spearman(one.harm.numpy(), other.harm.numpy())),
        }
        for one, other in itertools.combinations(influences, 2)
    ]


def summarise(
    rows: Rows,
    keys: Sequence[str] = ("metric", "epochs", "adjoint", "change", "size", "measure"),
) -> Rows:
    """Mean over seeds of every number, with the lowest and the highest seed."""
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row["value"])
    return [
        {
            **dict(zip(keys, group, strict=True)),
            "mean": float(np.mean(values)),
            "low": min(values),
            "high": max(values),
            "n_seeds": len(values),
        }
        for group, values in groups.items()
    ]


def cleanse_all(
    recipe: Recipe, sweep: Sweep, folder: Path, seeds: Sequence[int], n_jobs: int
) -> Rows:
    """A cleansing experiment: every method at its own best fraction, paired over seeds."""
    cleansings = cleanse_seeds(
        recipe,
        seeds,
        fractions=sweep.fractions,
        last_epochs=sweep.last_epochs,
        n_jobs=n_jobs,
        folder=folder,
        executor=sweep.executor,
        chunk=sweep.chunk,
        along=sweep.along,
    )
    chosen_by = next(iter(cleansings[0].before))
    return [
        {
            "metric": found.metric,
            "method": found.method,
            "fraction": found.fraction,
            "before": float(np.mean([one.before[found.metric] for one in cleansings])),
            "gain": found.gain.value,
            "low": found.gain.low,
            "high": found.gain.high,
            "p_value": found.gain.p_value,
            # The least convincing advantage over any method that is not influence.
            "p_value_against_baselines": max(
                estimate.p_value
                for other, estimate in found.against.items()
                if not other.startswith("influence")
            ),
        }
        for found in compare(cleansings, chosen_by=chosen_by)
    ]
