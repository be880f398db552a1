"""The same recipe over several seeds: is the gain more than the luck of one run?"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterplay import baselines, executors
from counterplay._adjoint import AbstractAdjoint, Unroll
from counterplay._along import trace_along_removal
from counterplay._atomic import make_folder, write_atomically
from counterplay._bank import Bank
from counterplay._checkpoint import FolderCheckpoints
from counterplay._cleanse import cleanse, Cleansing, FRACTIONS
from counterplay._influence import Influence, trace
from counterplay._lock import locked
from counterplay._recipe import Recipe
from counterplay._sealed import dumps, loads
from counterplay._trajectory import Trajectory
from counterplay.errors import RunError
from counterplay.game import Columns, Game
from counterplay.metrics.target import Target
from counterplay.typing import FeatureMap, Features, PerInstance


Scores = dict[str, PerInstance]
ALONG = " along removal"  # what tells an averaged influence from that at the start
OnSeed = Callable[[Cleansing], None]


def cleanse_seeds(
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    fractions: Sequence[float] = FRACTIONS,
    last_epochs: int = 0,
    n_jobs: int = 1,
    folder: Path | str | None = None,
    executor: executors.Choice = None,
    chunk: int = 32,
    adjoint: AbstractAdjoint | None = None,
    along: float = 0.0,
    tolerate_drift: bool = False,
    on_seed: OnSeed | None = None,
) -> list[Cleansing]:
    """Play a recipe once per seed, and cleanse each run by influence and by every baseline.

    Each seed computes in one thread, so the results do not depend on `n_jobs`.

    Args:
        recipe: What is played.
        seeds: One run each.
        fractions: Shares of the training set to remove.
        last_epochs: Trace and retrain only the last passes over the data; 0 is the whole
            run.
        n_jobs: Seeds computed at once, in processes of their own or on the executor's
            cluster.
        folder: Where each seed keeps its checkpoints, finished retrainings and result, in a
            folder named by the seed, so that an interrupted study goes on where it stopped.
        executor: Who retrains, see `counterfactual_effects`.
        chunk: Runs retrained at once.
        adjoint: How influence is computed; unrolling the retrained moves if left out.
        along: If above 0, each influence is also averaged on the way to removing this share
            of the data, as one more way to choose; see `trace_along_removal`.
        tolerate_drift: Whether a run that was begun elsewhere may be replayed with a drift,
            see `trace`.
        on_seed: Called with each result.

    Returns:
        One result per seed, to be merged by `counterplay.compare`.
    """
    place, executor = executors.divided(min(n_jobs, len(seeds)), executor)
    sweep = _Sweep(
        tuple(fractions), last_epochs, executor, chunk, adjoint, along, tolerate_drift
    )
    _ = recipe.splits, recipe.feature_map  # once for all seeds
    compute = functools.partial(
        _cleanse_seed, recipe, sweep, None if folder is None else Path(folder)
    )
    return executors.in_order(place.map(compute, list(seeds)), on_result=on_seed)


def baseline_scores(recipe: Recipe, game: Game, trajectory: Trajectory) -> Scores:
    """Harm by every way to choose that needs no trace, `(n,)` each; see `baselines`.

    Args:
        recipe: The recipe of the run.
        game: Its game.
        trajectory: The run.

    Returns:
        Scores by the name of the method, the highest to be removed first.
    """
    train, final, player = recipe.splits.train, trajectory.final, game.readers[0]
    features = _features(recipe.feature_map, train)
    scores = {
        "random": baselines.random(len(train), seed=recipe.seed),
        "isolation forest": baselines.isolation_forest(train["x"], seed=recipe.seed),
        "density on features": baselines.density(features),
        "discriminator's score": baselines.discriminator_score(
            game, train, final, player=player
        ),
        "gradient norm": baselines.gradient_norm(game, train, final, player=player),
    }
    if recipe.feature_map.name != "identity":
        scores["isolation forest on features"] = baselines.isolation_forest(
            features, seed=recipe.seed
        )
    return scores


def detection(recipe: Recipe, cleansings: Sequence[Cleansing]) -> dict[str, Any] | None:
    """How many of the instances that a method calls most harmful were planted.

    Args:
        recipe: The recipe that planted them.
        cleansings: Results over seeds, whose mean is taken.

    Returns:
        The precision of every method at `k`, the number of planted instances, or as many as
        the largest fraction holds; None if nothing was planted.
    """
    if recipe.planted is None:
        return None
    ids = recipe.splits.train.ids
    planted = {ids[int(row)] for row in recipe.planted.nonzero()}
    longest = min(len(names) for one in cleansings for names in one.removed.values())
    k = min(len(planted), longest)
    precision = {
        method: float(
            np.mean([len(planted & set(one.removed[method][:k])) / k for one in cleansings])
        )
        for method in cleansings[0].methods
    }
    return {"k": k, "precision": precision, "n_planted": len(planted)}


def as_table(cleansing: Cleansing) -> dict[str, Any]:
    """A result as JSON can hold it."""
    return {
        "methods": list(cleansing.methods),
        "fractions": list(cleansing.fractions),
        "higher_is_better": dict(cleansing.higher_is_better),
        "before": dict(cleansing.before),
        "after": {metric: values.tolist() for metric, values in cleansing.after.items()},
        "removed": {method: list(ids) for method, ids in cleansing.removed.items()},
        "drift": {str(move): relative for move, relative in cleansing.drift.items()},
    }


def from_table(table: Mapping[str, Any]) -> Cleansing:
    """What `as_table` was made of."""
    return Cleansing(
        methods=tuple(table["methods"]),
        fractions=tuple(table["fractions"]),
        higher_is_better=table["higher_is_better"],
        before=table["before"],
        after={metric: np.array(values) for metric, values in table["after"].items()},
        removed={method: tuple(ids) for method, ids in table["removed"].items()},
        drift={int(move): relative for move, relative in table.get("drift", {}).items()},
    )


@dataclass(frozen=True)
class _Sweep:
    """What is done with every seed."""

    fractions: tuple[float, ...]
    last_epochs: int
    executor: executors.Choice
    chunk: int
    adjoint: AbstractAdjoint | None
    along: float
    tolerate_drift: bool

    def key(self, recipe: Recipe) -> str:
        """A hash of all that a result depends on; not who computes it."""
        text = json.dumps(
            [
                recipe.identity,
                recipe.features,
                recipe.metric,
                self.fractions,
                self.last_epochs,
                self.executor if self.executor in executors.HERE else None,
                self.chunk,
                repr(self.adjoint),
                *[self.along] * bool(self.along),
            ],
            sort_keys=True,
        )
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _cleanse_seed(
    recipe: Recipe, sweep: _Sweep, folder: Path | None, seed: int
) -> Cleansing:
    recipe = recipe.with_seed(seed)
    folder = None if folder is None else folder / str(seed)
    with one_thread():
        if folder is None:
            return _cleanse(recipe, sweep, checkpoints={}, bank={})
        make_folder(folder)
        # When the call that began this seed was killed, its process may still be at it.
        with locked(folder / "lock", wait=True):
            return _continue(recipe, sweep, folder)


def _continue(recipe: Recipe, sweep: _Sweep, folder: Path) -> Cleansing:
    result, key = folder / "cleansing.json", sweep.key(recipe)
    finished = _finished(result, key)
    if finished is None:
        finished = _cleanse(
            recipe,
            sweep,
            checkpoints=FolderCheckpoints(folder / "checkpoints", run=recipe.identity),
            bank=Bank(folder / "bank.jsonl"),
        )
        content = dumps({"key": key, "cleansing": as_table(finished)})
        write_atomically(result, content.encode())
    return finished


def _finished(result: Path, key: str) -> Cleansing | None:
    """A result from an earlier call that asked for the same.

    Raises:
        RunError: If the file is damaged.
    """
    if not result.exists():
        return None
    try:
        found = loads(result.read_bytes())
        return from_table(found["cleansing"]) if found["key"] == key else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{str(result)!r} is damaged: {error}. Delete it; the finished retrainings "
            "beside it are kept and `--resume` uses them."
        ) from error


def _cleanse(
    recipe: Recipe,
    sweep: _Sweep,
    *,
    checkpoints: MutableMapping,
    bank: MutableMapping[str, list[float]],
) -> Cleansing:
    game, train = recipe.make_game(), recipe.splits.train
    trajectory = recipe.record(game, checkpoints=checkpoints)
    trajectory = trajectory.tolerant() if sweep.tolerate_drift else trajectory
    since = trajectory.epochs_back(game, sweep.last_epochs) if sweep.last_epochs else 0
    targets = recipe.targets(game)
    adjoint = sweep.adjoint or Unroll(last=trajectory.n_steps - since)
    influences = trace(
        game,
        train,
        trajectory,
        [*targets, _loss_of_reader(recipe, game)],
        adjoint=adjoint,
    )
    averaged = [
        trace_along_removal(
            game, train, trajectory, target, influence,
            fraction=sweep.along, adjoint=adjoint, since=since,
        )
        for target, influence in zip(targets, influences, strict=False)
        if sweep.along
    ]  # fmt: skip
    return cleanse(
        game,
        train,
        trajectory,
        targets[0],
        report=reported(recipe, game),
        scores={
            **_harm(influences[:-1]),
            **{f"{name}{ALONG}": harm for name, harm in _harm(averaged).items()},
            **baseline_scores(recipe, game, trajectory),
            "discriminator's loss": influences[-1].harm,
        },
        fractions=sweep.fractions,
        since=since,
        executor=sweep.executor,
        chunk=sweep.chunk,
        bank=bank,
    )


def reported(recipe: Recipe, game: Game) -> list[Target]:
    """The metrics on test data: those that are traced, and those only measured."""
    names = dict.fromkeys([*recipe.metric_names, *recipe.report_names])
    return recipe.targets(game, "test", list(names))


def _harm(influences: Sequence[Influence]) -> Scores:
    return {f"influence on {influence.metric}": influence.harm for influence in influences}


def _loss_of_reader(recipe: Recipe, game: Game) -> Target:
    return baselines.discriminator_loss(game, recipe.splits.valid, player=game.readers[0])


def _features(feature_map: FeatureMap, data: Columns) -> Features:
    with torch.no_grad():
        return torch.cat([feature_map(x) for x in data["x"].split(256)])


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread, so that results do not depend on how many runs are played.

    Yields:
        Nothing.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
