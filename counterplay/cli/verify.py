"""`counterplay verify`."""

from collections.abc import Sequence

from counterplay._adjoint import AbstractAdjoint
from counterplay._influence import Influence, trace
from counterplay._trajectory import Trajectory
from counterplay.cli import _check, _options, _scores, _show
from counterplay.cli._folder import RunFolder
from counterplay.errors import TraceError
from counterplay.game import Game
from counterplay.metrics.target import Target


def verify(
    run: _options.Run,
    *,
    instances: int = 64,
    lowered: tuple[float, ...] = (0.1, 1.0),
    subsets: int = 0,
    fractions: tuple[float, ...] = (0.01, 0.05, 0.1),
    also: tuple[_options.Adjoint, ...] = (),
    depth: int = 1_000,
    damping: float = 0.0,
    executor: _options.Executor = None,
    chunk: int = 64,
    tolerate_drift: bool = False,
    resume: bool = False,
) -> None:
    """Compare the scores with real retraining.

    Leaves random instances out one at a time, with their weight lowered a little and to 0,
    and random groups. Says how well the scores predicted what became of the metric, and
    whether they may be believed. Writes verify.json, verify.csv and bank.jsonl, where every
    finished retraining is kept.

    Args:
        run: Run folder that has been traced.
        instances: Instances to leave out.
        lowered: How far their weight is lowered; 1 removes them.
        subsets: Random groups to leave out for each of `fractions`, which gives the linear
            datamodeling score.
        fractions: Shares of the training set in a group.
        also: Further adjoints to judge on the same retrainings.
        depth: Terms of the series of `implicit`.
        damping: Share by which each further term of `implicit` is shrunk.
        executor: Who retrains: this process, many runs at once (vmap) or one by one
            (serial), processes of this machine, a Ray or a Slurm cluster; the fastest for
            the networks if not given.
        chunk: Runs retrained at once.
        tolerate_drift: Where a replay differs from the record, as on other hardware, go on
            from each checkpoint as it was recorded, and say how far the replay was off.
        resume: Finish an interrupted call; what is in the bank is never retrained again.
    """
    del resume  # the bank makes every call continue
    with RunFolder.open(run).locked() as folder:
        influences, since = _scores.load_influences(folder)
        game = folder.recipe.make_game()
        trajectory = folder.trajectory(tolerate_drift=tolerate_drift)
        targets = _targets_of(folder, game, influences)
        judged = list(influences)
        for name in also:
            adjoint = _options.adjoint_of(
                name, last=trajectory.n_steps - since, depth=depth, damping=damping
            )
            judged += _traced(folder, game, trajectory, targets, adjoint)
        agreements = _check.check(
            folder,
            game,
            trajectory,
            targets,
            judged,
            instances=instances,
            since=since,
            lowered=lowered,
            subsets=subsets,
            fractions=fractions,
            executor=executor,
            chunk=chunk,
        )
        _scores.save_scores(folder, influences, agreements)
        _check.show(agreements)
        _check.show_drift(trajectory)
        _show.say(f"All numbers are in {folder.path / 'verify.csv'}")


def _targets_of(
    folder: RunFolder, game: Game, influences: Sequence[Influence]
) -> list[Target]:
    """The targets that were traced, by the names of their influences.

    Raises:
        TraceError: If the recipe does not have them.
    """
    names = folder.read_json("trace.json")["names"]
    known = {target.name: target for target in folder.recipe.targets(game, names=names)}
    missing = [one.metric for one in influences if one.metric not in known]
    if missing:
        raise TraceError(
            f"The scores are on {missing[0]!r}, but run.toml now gives "
            f"{sorted(known)}. Use `counterplay trace {folder.path}` again."
        )
    return [known[one.metric] for one in influences]


def _traced(
    folder: RunFolder,
    game: Game,
    trajectory: Trajectory,
    targets: Sequence[Target],
    adjoint: AbstractAdjoint,
) -> Sequence[Influence]:
    with _show.stage(f"Tracing by {adjoint!r}") as advance:
        return trace(
            game,
            folder.data,
            trajectory,
            targets,
            adjoint=adjoint,
            on_move=lambda done, total: advance(done),
        )
