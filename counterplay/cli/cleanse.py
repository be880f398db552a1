"""`counterplay cleanse`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from counterplay import _cleanse, _retrain, _study
from counterplay._cleanse import Cleansing, Comparison, Round
from counterplay._drift import summary
from counterplay._trajectory import Trajectory
from counterplay.cli import _options, _show
from counterplay.cli._folder import RunFolder
from counterplay.cli._pictures import write_fakes


def cleanse(
    run: _options.Run,
    *,
    seeds: int = 10,
    jobs: int = 2,
    fractions: tuple[float, ...] = _study.FRACTIONS,
    last_epochs: int = 0,
    iterative: bool = False,
    step: float = 0.02,
    n_rounds: int = 10,
    executor: _options.Executor = None,
    chunk: int = 32,
    tolerate_drift: bool = False,
    resume: bool = False,
) -> None:
    """Retrain without the most harmful instances, against other ways to choose.

    Plays the recipe of the run once per seed, removes every share of the training set by
    every method, and retrains. The share is chosen on validation data, the gain measured on
    test data that nothing was chosen by. Writes cleansing.json, cleansing.csv, pictures in
    cleansed/, and detection.json if the recipe planted corrupt instances.

    Args:
        run: Run folder.
        seeds: Runs to repeat it over, from the seed of the run on.
        jobs: Seeds at once, each in a process or a cluster's job of its own.
        fractions: Shares of the training set to remove.
        last_epochs: Trace and retrain only the last passes over the data; 0 for the whole
            run.
        iterative: Also remove a few at a time and trace again after each; writes
            rounds.json.
        step: Share of the training set in the first of these rounds.
        n_rounds: Most rounds.
        executor: Who retrains: this process, many runs at once (vmap) or one by one
            (serial), processes of this machine, a Ray or a Slurm cluster; the fastest for
            the networks if not given.
        chunk: Runs retrained at once.
        tolerate_drift: Where a replay differs from the record, as on other hardware, go on
            from each checkpoint as it was recorded, and say how far the replay was off.
        resume: Finish an interrupted call; what is in the folder is never retrained again.
    """
    del resume  # the folders of the seeds make every call continue
    with RunFolder.open(run).locked() as folder:
        recipe = folder.recipe
        with _show.stage(f"Cleansing over {seeds} seeds", seeds) as advance:
            finished: list[Cleansing] = []

            def count(cleansing: Cleansing) -> None:
                finished.append(cleansing)
                advance(len(finished))

            cleansings = _study.cleanse_seeds(
                recipe,
                range(recipe.seed, recipe.seed + seeds),
                fractions=fractions,
                last_epochs=last_epochs,
                n_jobs=jobs,
                folder=folder.path / "seeds",
                executor=executor,
                chunk=chunk,
                tolerate_drift=tolerate_drift,
                on_seed=count,
            )
        chosen_by = next(iter(cleansings[0].before))
        comparisons = _cleanse.compare(cleansings, chosen_by=chosen_by)
        _save(folder, cleansings, comparisons, chosen_by)
        trajectory = folder.trajectory(tolerate_drift=tolerate_drift)
        _picture(folder, trajectory, cleansings[0], comparisons, last_epochs)
        if iterative:
            _rounds(folder, trajectory, step, n_rounds, last_epochs)
        show(cleansings, comparisons)
        for i, one in enumerate(cleansings):
            if one.drift:
                _show.say(f"Seed {recipe.seed + i}: {summary(one.drift)}")


def show(cleansings: Sequence[Cleansing], comparisons: Sequence[Comparison]) -> None:
    """Print what each method gained on test data, best first."""
    for metric in dict.fromkeys(one.metric for one in comparisons):
        if not metric.startswith("test_"):
            continue
        own = [one for one in comparisons if one.metric == metric]
        own.sort(key=lambda one: one.gain.value, reverse=True)
        better = "higher" if cleansings[0].higher_is_better[metric] else "lower"
        _show.table(
            f"{metric}, {better} is better, mean of {len(cleansings)} seeds",
            [_row(cleansings, one) for one in own],
        )


def _row(cleansings: Sequence[Cleansing], one: Comparison) -> dict[str, Any]:
    first = cleansings[0]
    i, j = first.methods.index(one.method), first.fractions.index(one.fraction)
    return {
        "method": one.method,
        "removed": f"{one.fraction:.0%}",
        "before": float(np.mean([c.before[one.metric] for c in cleansings])),
        "after": float(np.mean([c.after[one.metric][i, j] for c in cleansings])),
        "gain": one.gain.value,
        "95 %": f"{one.gain.low:.3g} to {one.gain.high:.3g}",
        "p": one.gain.p_value,
    }


def _save(
    folder: RunFolder,
    cleansings: Sequence[Cleansing],
    comparisons: Sequence[Comparison],
    chosen_by: str,
) -> None:
    folder.write_json(
        "cleansing.json",
        {
            "chosen_by": chosen_by,
            "seeds": [_study.as_table(one) for one in cleansings],
            "comparisons": [asdict(one) for one in comparisons],
        },
    )
    rows = [
        {"seed": folder.recipe.seed + i, **row}
        for i, one in enumerate(cleansings)
        for row in one.rows()
    ]
    folder.write_table("cleansing.csv", rows)
    found = _study.detection(folder.recipe, cleansings)
    if found is not None:
        folder.write_json("detection.json", found)


def _picture(
    folder: RunFolder,
    trajectory: Trajectory,
    cleansing: Cleansing,
    comparisons: Sequence[Comparison],
    last_epochs: int,
) -> None:
    """Samples of the run before and after removing what influence called most harmful."""
    best = next(one for one in comparisons if one.method.startswith("influence"))
    gone = set(
        cleansing.removed[best.method][: _retrain.count_of(best.fraction, len(folder.data))]
    )
    rows = [row for row, name in enumerate(folder.data.ids) if name in gone]
    game = folder.recipe.make_game()
    since = trajectory.epochs_back(game, last_epochs) if last_epochs else 0
    with _show.stage(f"Retraining without {len(rows)} instances"):
        cleansed = _retrain.retrain(
            game, folder.data, trajectory, without=rows, since=since
        )
    write_fakes(folder, game, trajectory.final, "cleansed/before.png")
    write_fakes(folder, game, cleansed.final, "cleansed/fakes.png")


def _rounds(
    folder: RunFolder, trajectory: Trajectory, step: float, n_rounds: int, last_epochs: int
) -> None:
    game, data = folder.recipe.make_game(), folder.data
    since = trajectory.epochs_back(game, last_epochs) if last_epochs else 0
    with _show.stage("Cleansing in rounds", n_rounds) as advance:
        done: list[Round] = []

        def count(found: Round) -> None:
            done.append(found)
            advance(len(done))

        _, rounds = _cleanse.cleanse_iteratively(
            game,
            data,
            trajectory,
            folder.recipe.targets(game)[0],
            report=_study.reported(folder.recipe, game),
            since=since,
            step=step,
            n_rounds=n_rounds,
            on_round=count,
        )
    rows = [
        {
            "removed": len(one.removed),
            "step": one.step,
            "accepted": one.accepted,
            "valid": one.valid,
            **one.test,
        }
        for one in rounds
    ]
    folder.write_json(
        "rounds.json",
        [
            {**asdict(one), "removed": [data.ids[int(i)] for i in one.removed]}
            for one in rounds
        ],
    )
    _show.table("Cleansing in rounds", rows)
