"""Ground truth: what the run becomes when instances lose their weight.

A counterfactual run starts from the same state and sees the same batches and the same
noise; denominators stay as they are. Only the weights differ.
"""

import hashlib
import itertools
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace

import joblib
import torch
from torch import Tensor

from counterplay import executors
from counterplay._fleet import against_vmap, Fleet
from counterplay._play import continue_run, OnStep
from counterplay._trajectory import make_plan, Plan, Trajectory
from counterplay.errors import ConfigError, DataError
from counterplay.executors import Executor
from counterplay.game import Columns, Game, State
from counterplay.metrics.target import Target
from counterplay.typing import Index, PerInstance


OnRuns = Callable[[int], None]  # counterfactual runs finished


def retrain(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    *,
    without: Index | Sequence[int] = (),
    weights: PerInstance | None = None,
    since: int = 0,
    every: int | None = None,
    on_step: OnStep | None = None,
    checkpoints: MutableMapping[int, State] | None = None,
) -> Trajectory:
    """Play a recorded run again with other weights.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        without: Instances to remove.
        weights: Weights to use instead of the run's, `(n,)`.
        since: Retrain only from this move on, as the papers do with the last epochs.
        every: Moves between checkpoints; the run's spacing if left out.
        on_step: Called after each move.
        checkpoints: Where states are kept; a dictionary in memory if left out.

    Returns:
        The counterfactual run.
    """
    weights = removed(trajectory.plan.weights if weights is None else weights, without)
    start = trajectory.state_at(game, data, since)
    plan = make_plan(
        data,
        batch_size=trajectory.plan.batch_size,
        seed=trajectory.plan.seed,
        weights=weights,
        numerics=replace(trajectory.plan.numerics, n_ranks=1),
    )
    kept = {} if checkpoints is None else checkpoints
    if every is None:
        moves = sorted(trajectory.checkpoints)
        every = max((b - a for a, b in itertools.pairwise(moves)), default=1)
    return continue_run(
        game,
        data,
        plan,
        kept[max(kept)] if kept else start,
        n_steps=trajectory.n_steps,
        every=every,
        since=since,
        kept=kept,
        on_step=on_step,
    )


def removed(weights: PerInstance, instances: Index | Sequence[int]) -> PerInstance:
    """A copy of `weights` that is 0 at `instances`.

    Raises:
        DataError: If an instance does not exist.
    """
    weights = torch.as_tensor(weights, dtype=torch.float64).clone()
    index = torch.as_tensor(instances, dtype=torch.int64)
    if len(index) and not (int(index.min()) >= 0 and int(index.max()) < len(weights)):
        raise DataError(
            f"Instances run from 0 to {len(weights) - 1}, got {int(index.min())} to "
            f"{int(index.max())}."
        )
    weights[index] = 0.0
    return weights


def count_of(fraction: float, n: int) -> int:
    """How many of `n` instances a share is; at least one.

    Raises:
        DataError: If the share is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise DataError(f"`fractions` must lie between 0 and 1, got {fraction!r}.")
    return max(1, round(fraction * n))


@dataclass(frozen=True)
class Way:
    """How a fleet is played.

    Attributes:
        executor: Who plays.
        vmapped: Whether runs are played at once, or one after the other.
        text: The same in words, with what speaks against more at once.
    """

    executor: Executor
    vmapped: bool
    text: str


def way_of(game: Game, plan: Plan, executor: executors.Choice) -> Way:
    """How a fleet is played by an executor, or by the best one for these networks.

    `"vmap"` plays runs at once and `"serial"` one after the other, both in this process;
    the others play them at once where that is faster.

    Args:
        game: The game.
        plan: That of the run.
        executor: Who plays, if that is said.

    Returns:
        The way.
    """
    against = against_vmap(game, plan)
    if executor is None:
        alone = executors.within_task() or joblib.cpu_count() == 1
        executor = "vmap" if not against else "serial" if alone else "processes"
    vmapped = executor == "vmap" if executor in executors.HERE else not against
    how = "many runs at once" if vmapped else "one run after the other"
    text = f"{how}, executor {executor!r}{against and f': {against}'}"
    if isinstance(executor, str):
        executor = executors.by_name(executor)
    return Way(executor, vmapped, text)


def counterfactual_effects(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metrics: Sequence[Target],
    rows: Tensor,
    *,
    since: int = 0,
    executor: executors.Choice = None,
    chunk: int = 64,
    bank: MutableMapping[str, list[float]] | None = None,
    on_runs: OnRuns | None = None,
) -> Tensor:
    """Metrics of runs with other weights, minus those of the run as it was.

    A run is played only from the move on that first reads an instance of another weight.
    The unchanged run is replayed by the same arithmetic, so that rounding of another
    executor cancels and tiny weight changes stay visible.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        metrics: What to measure at the end.
        rows: One set of weights per run, `(n_runs, n)`.
        since: Retrain from this move on.
        executor: Who plays the runs, see `way_of`; the best for the networks if left out.
        chunk: Runs played at once; bounds the memory. On a Slurm cluster also the runs of
            one job.
        bank: Finished runs, looked up first and added to as runs finish.
        on_runs: Called with the number of runs finished so far.

    Returns:
        Shape `(n_runs, n_metrics)`, float64.

    Raises:
        ConfigError: If `chunk` is below 1.
    """
    if chunk < 1:
        raise ConfigError(f"`chunk` must be at least 1, got {chunk!r}.")
    way = way_of(game, trajectory.plan, executor)
    bank = {} if bank is None else bank
    trajectory.require(data, since)
    final = trajectory.final
    protocol = [f"{metric.name}={metric.value(final)!r}" for metric in metrics]
    arithmetic = "vmap" if way.vmapped else "serial"
    keys = [_key(trajectory, protocol, row, since, arithmetic) for row in rows]
    missing = list({key: i for i, key in enumerate(keys) if key not in bank}.values())
    if missing:
        fleet = Fleet(game, data, trajectory, metrics, since=since, vmapped=way.vmapped)
        parts = _parts(fleet, rows, missing, _runs_per_task(way, len(rows), chunk))
        done = len(rows) - len(missing)
        for number, effects in way.executor.map(fleet, [rows[part] for part in parts]):
            own = [keys[i] for i in parts[number]]
            bank.update(zip(own, effects.tolist(), strict=True))
            done += len(own)
            if on_runs is not None:
                on_runs(done)
    return torch.tensor([bank[key] for key in keys], dtype=torch.float64)


def _parts(
    fleet: Fleet, rows: Tensor, missing: Sequence[int], size: int
) -> list[list[int]]:
    """The missing runs in the order in which they depart, so that a part starts late."""
    order = fleet.departures(rows[missing]).argsort(stable=True).tolist()
    sorted_runs = [missing[i] for i in order]
    return [sorted_runs[i : i + size] for i in range(0, len(missing), size)]


def _runs_per_task(way: Way, n_runs: int, chunk: int) -> int:
    """As many as may be played at once, but enough tasks for all workers.

    Runs one after the other are single tasks, so that none is lost, unless each task begins
    with a replay of the unchanged run.
    """
    if not way.vmapped and way.executor.keeps_workers:
        return 1
    return min(chunk, -(-n_runs // (way.executor.n_workers or 1)))


def leave_out(weights: PerInstance, groups: Sequence[Index | Sequence[int]]) -> Tensor:
    """Weights for runs that each leave one group out, `(n_groups, n)`."""
    return torch.stack([removed(weights, group) for group in groups])


def _key(
    trajectory: Trajectory, protocol: list[str], row: Tensor, since: int, arithmetic: str
) -> str:
    """What a finished retraining is looked up by.

    A metric's name does not say everything, its latents for instance, so its value at the
    end of the run stands in for the rest.
    """
    start, end = min(trajectory.checkpoints), trajectory.n_steps
    digest = hashlib.blake2b(digest_size=12)
    digest.update(trajectory.plan.fingerprint.encode())
    digest.update(
        f"{trajectory.fingerprints[start]}{trajectory.fingerprints[end]}".encode()
    )
    digest.update("/".join(protocol).encode())
    digest.update(f"{since}{arithmetic}".encode() + row.double().numpy().tobytes())
    return digest.hexdigest()
