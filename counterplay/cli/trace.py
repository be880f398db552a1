"""`counterplay trace`."""

from counterplay import _influence
from counterplay._adjoint import MEMORY
from counterplay.cli import _check, _launch, _options, _scores, _show
from counterplay.errors import ConfigError


def trace(
    run: _options.Run,
    *,
    metric: _options.Names = (),
    adjoint: _options.Adjoint = "unroll",
    last: int = 0,
    epochs: int = 0,
    memory: str = MEMORY,
    depth: int = 1_000,
    damping: float = 0.0,
    instances: int = 16,
    executor: _options.Executor = None,
    chunk: int = 32,
    tolerate_drift: bool = False,
    resume: bool = False,
) -> None:
    """Score what each training instance does to the metrics, and check the scores.

    One backward sweep through the run gives all scores. Then a few instances are left out
    for real, with their weight lowered a little and to 0: no ranking without its error bar.
    Writes influence_0.npz and so on, scores.csv, scores.parquet, verify.json, verify.csv.
    Processes that `torchrun` starts share the sweep; one of them does the check.

    Args:
        run: Run folder.
        metric: Metrics, see `counterplay list metrics`; those of the recipe if not given.
        adjoint: How the derivative is computed, see `counterplay list adjoints`.
        last: Moves to go back; 0 for the whole run.
        epochs: Passes over the data to go back instead.
        memory: What states and graphs may take, such as 500MiB; less replays more moves.
        depth: Terms of the series of `implicit`.
        damping: Share by which each further term of `implicit` is shrunk.
        instances: Instances to leave out for the check.
        executor: Who retrains: this process, many runs at once (vmap) or one by one
            (serial), processes of this machine, a Ray or a Slurm cluster; the fastest for
            the networks if not given.
        chunk: Runs retrained at once.
        tolerate_drift: Where a replay differs from the record, as on other hardware, go on
            from each checkpoint as it was recorded, and say how far the replay was off.
        resume: Keep the scores if they are there, and finish the check.

    Raises:
        ConfigError: If `last` and `epochs` are both given.
    """
    if last and epochs:
        raise ConfigError(f"Give `last` or `epochs`, not both: {last}, {epochs}.")
    with _launch.joined() as ranks, _launch.opened(ranks, run) as folder:
        game = folder.recipe.make_game()
        trajectory = folder.trajectory(tolerate_drift=tolerate_drift)
        if epochs:
            last = trajectory.n_steps - trajectory.epochs_back(game, epochs)
        way = _options.adjoint_of(
            adjoint, last=last, memory=memory, depth=depth, damping=damping
        )
        asked = metric or folder.recipe.metric_names
        targets = folder.recipe.targets(game, names=asked)
        names = [target.name for target in targets]
        since = trajectory.n_steps - last if last and adjoint != "implicit" else 0
        unfinished = folder.path / "unfinished.safetensors"
        influences = _scores.traced(folder, names, repr(way)) if resume else None
        if influences is None:
            with _show.stage("Tracing", len(range(since, trajectory.n_steps))) as advance:
                influences = _influence.trace(
                    game,
                    folder.data,
                    trajectory,
                    targets,
                    adjoint=way,
                    on_move=lambda done, total: advance(done),
                    unfinished=unfinished,
                    ranks=ranks,
                )
            if ranks.is_first:
                _scores.save_influences(folder, influences, asked, since)
                unfinished.unlink(missing_ok=True)
        if not ranks.is_first:
            return  # the check is done by one process
        agreements = _check.check(
            folder,
            game,
            trajectory,
            targets,
            influences,
            instances=instances,
            since=since,
            executor=executor,
            chunk=chunk,
        )
        rows = _scores.save_scores(folder, influences, agreements)
        _check.show(agreements)
        _scores.show_most_harmful(rows, names[0])
        _check.show_drift(trajectory)
        _show.say(f"All scores are in {folder.path / 'scores.csv'}")
