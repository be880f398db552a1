"""`counterplay retrain`."""

from functools import partial
from pathlib import Path

from counterplay import _retrain, _rng
from counterplay.cli import _options, _scores, _show
from counterplay.cli._folder import RunFolder
from counterplay.cli._record import record
from counterplay.errors import ConfigError


def retrain(
    run: _options.Run,
    *,
    without: _options.Name = None,
    metric: _options.Name = None,
    out: _options.Out = None,
    tensorboard: bool = False,
    wandb: bool = False,
    resume: bool = False,
) -> None:
    """Play a run again without some instances, in a new folder.

    Same first parameters, same batches, same noise; only the weights of the removed
    instances are 0. The new run.toml names its parent, and removed.txt lists who is gone.

    Args:
        run: Run folder; for `harmful` and `helpful` it has been traced.
        without: `harmful:K`, `helpful:K` or `random:K` instances, or a file with one id per
            line; `harmful:100` if not given.
        metric: Metric that says what is harmful; the first that was traced if not given.
        out: Folder to write; the next number in `runs` if not given.
        tensorboard: Write the log for TensorBoard too.
        wandb: Send the log to Weights & Biases; `WANDB_MODE=offline` keeps it here.
        resume: Continue the interrupted run in the folder of `--out`.

    Raises:
        ConfigError: If the folder to resume has another parent, or leaves others out.
    """
    parent = RunFolder.open(run)
    if resume:
        if out is None:
            raise ConfigError(
                "`--resume` needs `--out`, the folder of the run to continue."
            )
        folder = RunFolder.open(out)
        if folder.facts.get("parent") != str(run):
            raise ConfigError(
                f"The parent of {str(out)!r} is {folder.facts.get('parent')!r}, not "
                f"{str(run)!r}. Use another `--out`."
            )
        if without not in (None, folder.facts["without"]):
            raise ConfigError(
                f"The run {str(out)!r} was begun without {folder.facts['without']!r} and "
                f"cannot go on without {without!r}. Leave `--without` out, or use another "
                "`--out`."
            )
    else:
        without = without or "harmful:100"
        chosen = _chosen(parent, without, metric)
        removed = dict.fromkeys([*parent.removed, *(parent.data.ids[i] for i in chosen)])
        folder = RunFolder.create(
            parent.recipe,
            out,
            threads=parent.facts["threads"],
            removed=tuple(removed),
            parent=str(run),
            without=without,
            n_rows=parent.facts["n_rows"],
            n_scores=parent.facts["n_scores"],
        )
    with folder.locked():
        game, trajectory = parent.recipe.make_game(), parent.trajectory()
        play = partial(
            _retrain.retrain, game, parent.data, trajectory, weights=folder.plan.weights
        )
        record(
            folder,
            game,
            play,
            lambda: trajectory.state_at(game, parent.data, 0),
            tensorboard=tensorboard,
            wandb=wandb,
        )
    _show.say(f"The run without {len(folder.removed)} instances is in {folder.path}")


def _chosen(parent: RunFolder, without: str, metric: str | None) -> list[int]:
    """The rows of the instances to leave out.

    Raises:
        ConfigError: If it is not clear which.
    """
    kind, _, count = without.partition(":")
    present = (parent.plan.weights > 0).nonzero().flatten()
    if kind == "random" and count.isdigit():
        order = _rng.permutation(len(present), parent.recipe.seed, "without")
        return present[order[: int(count)]].tolist()
    if kind in ("harmful", "helpful") and count.isdigit():
        influences, _ = _scores.load_influences(parent)
        known = {influence.metric: influence for influence in influences}
        name = metric or influences[0].metric
        if name not in known:
            raise ConfigError(
                f"There are no scores on {name!r}; there are {sorted(known)}."
            )
        return getattr(known[name], kind)(int(count)).tolist()
    path = Path(without)
    if not path.is_file():
        raise ConfigError(
            "`--without` takes harmful:K, helpful:K, random:K or a file with one id per "
            f"line, got {without!r}."
        )
    rows = {name: row for row, name in enumerate(parent.data.ids)}
    wanted = path.read_text().split("\n")
    unknown = [name for name in wanted if name and name not in rows]
    if unknown:
        raise ConfigError(
            f"{without!r} names {unknown[0]!r}, which is no instance of "
            f"{str(parent.path)!r}. The ids are those of its scores.csv."
        )
    return [rows[name] for name in wanted if name]
