"""`counterplay fairness`."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from counterplay import _rng
from counterplay.cli import _options, _show
from counterplay.cli._folder import RunFolder
from counterplay.errors import ConfigError, MetricError
from counterplay.fairness import CHUNK, fairness_report
from counterplay.game import Columns, Game, State


def fairness(
    run: _options.Run,
    *,
    n: int = 30_000,
    seed: int = 0,
    groups: tuple[int, ...] = (),
    reference: tuple[float, ...] = (),
    soft: bool = False,
    output: Literal["table", "json"] = "table",
) -> None:
    """Measure how equally a run's generator makes the classes of its data.

    The run's own classifier names the class of each sample. Its errors are measured on
    labelled instances that it has not learnt from, and taken out of the shares.

    Args:
        run: Run folder whose feature map is a classifier.
        n: Number of samples.
        seed: Seed of the latents.
        groups: The group that each class counts for, such as `0 0 1 1`; by default its own.
        reference: The wanted shares; equal ones if not given.
        soft: Use probabilities instead of decisions.
        output: What to print.

    Raises:
        ConfigError: If there is to be no sample.
        MetricError: If the run's feature map is no classifier.
    """
    if n < 1:
        raise ConfigError(f"`n` must be at least 1 sample, got {n}.")
    folder = RunFolder.open(run)
    recipe, state = folder.recipe, folder.trajectory().final
    classifier: Any = recipe.feature_map
    if not hasattr(classifier, "logits"):
        raise MetricError(
            f"The run {str(run)!r} has the feature map {classifier.name!r}, which tells no "
            'classes. Give its recipe [features] name = "classifier".'
        )
    splits = recipe.splits  # the classifier has learnt from `valid`
    labelled = splits.test if recipe.corrupt else _joined(splits.train, splits.test)
    report = fairness_report(
        _samples(recipe.make_game(), state, n, seed),
        classifier,
        labelled,
        reference=reference,
        groups=groups,
        soft=soft,
    )
    if output == "json":
        tables = {"classes": report.classes(), "measures": report.rows()}
        print(json.dumps(tables, indent=1))
        return
    _show.table(f"Classes of {n:,} samples", report.classes())
    _show.table("How far they are from the wanted shares", report.rows())


def _samples(game: Game, state: State, n: int, seed: int) -> Iterator[Tensor]:
    assert game.sample is not None  # every game of a recipe generates something
    view = state.view(averaged=bool(game.averages))
    for begin in range(0, n, CHUNK):
        random = _rng.generator(seed, "fairness", begin)
        with torch.no_grad():
            yield game.sample(view, game.draw(min(CHUNK, n - begin), random, view))


def _joined(one: Columns, other: Columns) -> Columns:
    tensors = {name: torch.cat([one[name], other[name]]) for name in ("x", "y")}
    return Columns(tensors, one.ids + other.ids, class_names=one.class_names)
