"""Ground truth: what the run becomes when instances lose their weight.

A counterfactual run starts from the same state and sees the same batches and the same
noise; denominators stay as they are. Only the weights differ.
"""

import hashlib
import itertools
import json
import os
import pickle
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import joblib
import torch
from torch import Tensor

from counterplay._play import continue_run, OnStep
from counterplay._step import by_transform, step
from counterplay._trajectory import draw, layer_noise, make_plan, Trajectory, weights_of
from counterplay.errors import ConfigError, DataError, GameError, RunError
from counterplay.game import Columns, Game, State
from counterplay.metrics.target import Target
from counterplay.typing import Index, PerInstance, Tensors


Executor = Literal["vmap", "processes", "serial"]
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


class Bank(MutableMapping[str, list[float]]):
    """Values of finished retrainings, appended to a file as they come.

    Retraining is most of the cost of honest evaluation, so no finished run is lost: after a
    crash the same rows are looked up instead of played again.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._values: dict[str, list[float]] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:  # the last line of an interrupted write
                    continue
                self._values[entry["run"]] = entry["values"]

    def __getitem__(self, key: str) -> list[float]:
        return self._values[key]

    def __setitem__(self, key: str, values: list[float]) -> None:
        self._values[key] = values
        try:
            with self.path.open("a") as file:
                torn = file.tell() > 0 and not self.path.read_bytes().endswith(b"\n")
                file.write("\n" * torn + json.dumps({"run": key, "values": values}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(
                f"{str(self.path)!r} could not be written: {error.strerror or error}. "
                "Finished retrainings before this one are kept; free some space and use "
                "`--resume`."
            ) from error

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def counterfactual_effects(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metrics: Sequence[Target],
    rows: Tensor,
    *,
    since: int = 0,
    executor: Executor = "vmap",
    chunk: int = 64,
    bank: MutableMapping[str, list[float]] | None = None,
    on_runs: OnRuns | None = None,
) -> Tensor:
    """Metrics of runs with other weights, minus those of the run as it was.

    Every chunk also replays the unchanged run by the same arithmetic, so that rounding of
    another executor cancels and tiny weight changes stay visible.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        metrics: What to measure at the end.
        rows: One set of weights per run, `(n_runs, n)`.
        since: Retrain from this move on.
        executor: `"vmap"` plays a chunk of runs at once, `"processes"` plays them in a pool
            of processes, `"serial"` one after the other.
        chunk: Runs played at once; bounds the memory.
        bank: Finished runs, looked up first and added to.
        on_runs: Called with the number of runs finished so far.

    Returns:
        Shape `(n_runs, n_metrics)`, float64.

    Raises:
        ConfigError: If there is no such executor, or `chunk` is below 1.
    """
    if executor not in _PLAYERS or chunk < 1:
        raise ConfigError(
            f"`executor` must be one of {sorted(_PLAYERS)} and `chunk` at least 1, got "
            f"{executor!r} and {chunk!r}."
        )
    bank = {} if bank is None else bank
    trajectory.require(data, since)
    protocol = [f"{metric.name}={metric.value(trajectory.final)!r}" for metric in metrics]
    keys = [_key(trajectory, protocol, row, since, executor) for row in rows]
    missing = [i for i, key in enumerate(keys) if key not in bank]
    done = len(rows) - len(missing)
    batches = [missing[i : i + chunk] for i in range(0, len(missing), chunk)]
    play = _PLAYERS[executor]
    for numbers in batches:
        with_base = torch.cat([trajectory.plan.weights[None], rows[numbers].double()])
        values = play(game, data, trajectory, metrics, with_base, since)
        for number, value in zip(numbers, values[1:], strict=True):
            bank[keys[number]] = (value - values[0]).tolist()
        done += len(numbers)
        if on_runs is not None:
            on_runs(done)
    return torch.tensor([bank[key] for key in keys], dtype=torch.float64)


def leave_out(weights: PerInstance, groups: Sequence[Index | Sequence[int]]) -> Tensor:
    """Weights for runs that each leave one group out, `(n_groups, n)`."""
    return torch.stack([removed(weights, group) for group in groups])


def _play_by_vmap(game, data, trajectory, metrics, rows: Tensor, since: int) -> Tensor:
    states = final_states(game, data, trajectory, rows, since=since)
    return torch.tensor(
        [[metric.value(state) for metric in metrics] for state in states],
        dtype=torch.float64,
    )


def final_states(
    game: Game, data: Columns, trajectory: Trajectory, rows: Tensor, *, since: int = 0
) -> Iterator[State]:
    """Final states of runs with the weights of each row, all played in one vmapped loop.

    One draw per move serves all rows, from the parameters of the state the runs start from;
    so a game's `draw` may read the shapes of `params` but not their values.

    Yields:
        One state per row.
    """
    state = trajectory.state_at(game, data, since)
    stacked = {
        name: tensor.expand(len(rows), *tensor.shape)
        for name, tensor in state.tensors().items()
    }
    with torch.no_grad():
        while state.step < trajectory.n_steps:
            batch, noise = draw(game, data, trajectory.plan, state)
            template = state

            def move(tensors: Tensors, weights: Tensor) -> Tensors:
                before = template.with_tensors(tensors)  # noqa: B023
                after, _ = step(
                    game, before, batch, noise, weights, gradient=by_transform  # noqa: B023
                )  # fmt: skip
                return after.tensors()

            weights = rows[:, batch.index].to(weights_of(trajectory.plan, batch, state))
            with layer_noise(game, trajectory.plan, state.step):
                stacked = torch.func.vmap(move, randomness="same")(stacked, weights)
            state = replace(state, step=state.step + 1)
    for i in range(len(rows)):
        yield state.with_tensors({name: tensor[i] for name, tensor in stacked.items()})


def _play_serially(game, data, trajectory, metrics, rows: Tensor, since: int) -> Tensor:
    return torch.stack(
        [_play_one(game, data, trajectory, metrics, row, since) for row in rows]
    )


def _play_in_processes(game, data, trajectory, metrics, rows: Tensor, since: int) -> Tensor:
    # Games hold closures, which joblib's loky backend sends by value.
    small = replace(trajectory, checkpoints={since: trajectory.state_at(game, data, since)})
    try:
        values: Any = joblib.Parallel(n_jobs=-1, backend="loky")(
            joblib.delayed(_play_alone)(game, data, small, metrics, row, since)
            for row in rows
        )
    except pickle.PicklingError as error:
        raise GameError(
            "This game cannot be sent to other processes: something in it cannot be "
            "pickled, such as a network with spectral normalisation. Use executor 'vmap' "
            "or 'serial'."
        ) from error
    return torch.stack(list(values))


def _play_alone(game, data, trajectory, metrics, row: Tensor, since: int) -> Tensor:
    torch.set_num_threads(1)  # one core per process
    return _play_one(game, data, trajectory, metrics, row, since)


def _play_one(game, data, trajectory, metrics, row: Tensor, since: int) -> Tensor:
    n_steps = trajectory.n_steps
    run = retrain(game, data, trajectory, weights=row, since=since, every=n_steps + 1)
    return torch.tensor(
        [metric.value(run.final) for metric in metrics], dtype=torch.float64
    )


_PLAYERS = {
    "vmap": _play_by_vmap,
    "processes": _play_in_processes,
    "serial": _play_serially,
}


def _key(
    trajectory: Trajectory, protocol: list[str], row: Tensor, since: int, executor: str
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
    digest.update(f"{since}{executor}".encode() + row.double().numpy().tobytes())
    return digest.hexdigest()
