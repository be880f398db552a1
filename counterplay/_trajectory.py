"""The record of a run: seeds and a few checkpoints, enough to recompute every state.

Neither instances nor noise are stored. Which instances a move reads and which numbers it
draws are functions of the seed and the move, so a replay sees what the first pass saw.
"""

import functools
import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from counterplay import _rng
from counterplay._checkpoint import fingerprint
from counterplay._drift import Drift, drift_between
from counterplay._notebook import card
from counterplay._numerics import Numerics
from counterplay._step import step
from counterplay.errors import DataError, ReplayError, TraceError
from counterplay.game import Batch, Columns, Game, State
from counterplay.typing import Noise, PerInstance, Scalar


@dataclass(frozen=True)
class Plan:
    """What determines every draw of a run, and how its moves are computed.

    Attributes:
        seed: The run's seed.
        batch_size: Instances per move; also the denominator of the losses.
        weights: One weight per instance, `(n,)`, float64; 1 is ordinary training.
        data: Fingerprint of the training set.
        numerics: Device, precision and memory format.
    """

    seed: int
    batch_size: int
    weights: PerInstance
    data: str
    numerics: Numerics = Numerics()  # noqa: RUF009

    @property
    def n_instances(self) -> int:
        """Size of the training set."""
        return len(self.weights)

    @property
    def batches_per_epoch(self) -> int:
        """Moves that read instances in one pass over the data; a remainder is dropped."""
        return self.n_instances // self.batch_size

    def index(self, read: int) -> Tensor:
        """The rows of the `read`-th batch: a fresh permutation every epoch."""
        epoch, position = divmod(read, self.batches_per_epoch)
        order = _order(self.n_instances, self.seed, epoch)
        return order[position * self.batch_size : (position + 1) * self.batch_size]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything above."""
        text = f"{self.seed}/{self.batch_size}/{self.data}/{self.numerics}"
        digest = hashlib.blake2b(text.encode())
        digest.update(self.weights.numpy().tobytes())
        return digest.hexdigest()[:24]


@functools.lru_cache(maxsize=8)
def _order(n: int, seed: int, epoch: int) -> Tensor:
    return _rng.permutation(n, seed, "order", epoch)


@dataclass(frozen=True)
class Trajectory:
    """A recorded run.

    Attributes:
        plan: What determines the draws.
        n_steps: Moves played.
        checkpoints: Kept states by move; the last one is the final state.
        fingerprints: A hash of the state at each checkpoint.
        drift: Where replays may differ from the record: how far they did, relative to the
            largest entry of a tensor, by the move at which they were compared.
    """

    plan: Plan
    n_steps: int
    checkpoints: Mapping[int, State]
    fingerprints: Mapping[int, str]
    drift: dict[int, float] | None = None

    def tolerant(self) -> "Trajectory":
        """The same run, whose replays go on from each checkpoint as it was recorded."""
        return self if self.drift is not None else replace(self, drift={})

    @property
    def final(self) -> State:
        """The state after the last move."""
        return self.plan.numerics.place(self.checkpoints[self.n_steps])

    def _repr_html_(self) -> str:
        facts = {
            "moves": self.n_steps,
            "instances": self.plan.n_instances,
            "batch": self.plan.batch_size,
            "seed": self.plan.seed,
            "checkpoints": len(self.checkpoints),
            "left out": int((self.plan.weights == 0).sum()),
        }
        return card("Trajectory", facts)

    def epochs_back(self, game: Game, n_epochs: int) -> int:
        """The move at which the last `n_epochs` passes over the data begin.

        Raises:
            TraceError: If that is less than one pass.
        """
        if n_epochs < 1:
            raise TraceError(
                f"The number of epochs to go back must be at least 1, got {n_epochs!r}. "
                "Leave it out for the whole run."
            )
        reads = game.n_reads(self.n_steps) - n_epochs * self.plan.batches_per_epoch
        move = self.n_steps
        while move > 0 and game.n_reads(move) > max(reads, 0):
            move -= 1
        return move

    def require(self, data: Columns, start: int) -> None:
        """Refuse data other than the run's, or a start outside the record.

        Raises:
            DataError: If the data has changed.
            TraceError: If the record begins after `start` or ends before it.
        """
        require_data(self.plan, data)
        if start > self.n_steps:
            raise TraceError(
                f"The run ends at move {self.n_steps}; there is no move {start}."
            )
        first = min(self.checkpoints)
        if start < first:
            shorter = f"Use `Unroll(last={self.n_steps - first})`, or record"
            raise TraceError(
                f"The trajectory holds checkpoints from move {first} on, but move {start} "
                f"is needed. {shorter if first < self.n_steps else 'Record'} the whole run "
                "with `play(..., since=0)`."
            )

    def state_at(self, game: Game, data: Columns, move: int) -> State:
        """The state before `move`, replayed from the checkpoint before it."""
        self.require(data, move)
        start = max(kept for kept in self.checkpoints if kept <= move)
        return self.replay(game, data, self.checkpoints[start], move)

    def replay(self, game: Game, data: Columns, state: State, stop: int) -> State:
        """Play the recorded moves from a state of the run up to move `stop`.

        Raises:
            ReplayError: If a state differs from the recorded one.
        """
        state = self.plan.numerics.place(state)
        with torch.no_grad():
            while state.step < stop:
                state, _ = recorded_move(game, data, self.plan, state)
                state = self.check(state)
        return state

    def check(self, state: State) -> State:
        """Compare a replayed state bit for bit with the recorded one, where there is one.

        Returns:
            The state to go on from: this one, or where drift is tolerated the recorded.

        Raises:
            ReplayError: If they differ.
        """
        expected = self.fingerprints.get(state.step)
        if expected is None or fingerprint(state) == expected:
            return state
        if state.step not in self.checkpoints:
            raise ReplayError(self._diverged(state.step))
        recorded = self.plan.numerics.place(self.checkpoints[state.step])
        self._note(state, recorded)
        return recorded

    def check_nearly(self, state: State) -> None:
        """Compare a state computed with its graph with the recorded one, if there is one.

        Kernels that keep a graph may round differently, so equal bits are not required.

        Raises:
            ReplayError: If they differ by more than rounding.
        """
        if state.step not in self.checkpoints:
            return
        recorded = self.plan.numerics.place(self.checkpoints[state.step])
        if self.drift is not None or not _nearly_equal(state, recorded):
            self._note(state, recorded)

    def _note(self, state: State, recorded: State) -> None:
        """Remember how far they are apart, where that is tolerated.

        Raises:
            ReplayError: Where it is not.
        """
        found, move = drift_between(state, recorded), state.step
        if self.drift is None:
            raise ReplayError(self._diverged(move, found))
        self.drift[move] = max(found.relative, self.drift.get(move, 0.0))

    def _diverged(self, move: int, found: Drift | None = None) -> str:
        before = max((kept for kept in self.checkpoints if kept < move), default=0)
        where = f"move {move}, after the checkpoint of move {before}"
        return (
            f"The replay differs from the recorded run at {where}"
            f"{f', {found}' if found else ''}. Usual causes: "
            f"another number of threads (`torch.get_num_threads()` is "
            f"{torch.get_num_threads()}), another device or PyTorch version, a game built "
            "with other settings, or ReLUs that rounding takes over their kink (smooth "
            "activations or float64 help). Replay where the run was recorded, play it "
            "again, or give `tolerate_drift=True` (`--tolerate-drift`) to go on from the "
            "recorded checkpoints and be told how far the replay is from them."
        )


def _nearly_equal(state: State, recorded: State) -> bool:
    expected = recorded.tensors()
    for name, tensor in state.tensors().items():
        scale = float(expected[name].abs().max()) if tensor.numel() else 0.0
        tolerance = (
            torch.finfo(tensor.dtype).eps ** 0.5 if tensor.is_floating_point() else 0
        )
        close = torch.allclose(
            tensor, expected[name], rtol=0, atol=tolerance * max(scale, 1)
        )
        if not close:
            return False
    return True


def make_plan(
    data: Columns,
    *,
    batch_size: int,
    seed: int,
    weights: PerInstance | None = None,
    numerics: Numerics = Numerics(),  # noqa: B008
) -> Plan:
    """Check sizes and weights, and fix the draws of a run.

    Raises:
        DataError: If the data is smaller than a batch or the weights do not fit it.
    """
    n = len(data)
    if batch_size < 1:
        raise DataError(f"`batch_size` must be at least 1, got {batch_size!r}.")
    if n < batch_size:
        raise DataError(
            f"The training set has {n} instances, fewer than one batch of {batch_size}. "
            f"Use `batch_size` of at most {n}, or more data."
        )
    if weights is None:
        weights = torch.ones(n, dtype=torch.float64)
    weights = torch.as_tensor(weights, dtype=torch.float64).cpu()
    if weights.shape != (n,) or not torch.isfinite(weights).all():
        raise DataError(
            f"`weights` must hold {n} finite numbers, one per instance, got shape "
            f"{tuple(weights.shape)}."
        )
    return Plan(seed, batch_size, weights, data.fingerprint, numerics)


def require_data(plan: Plan, data: Columns) -> None:
    """Refuse data other than the plan's.

    Raises:
        DataError: If the fingerprints differ.
    """
    if plan.data != data.fingerprint:
        raise DataError(
            f"The data (fingerprint {data.fingerprint}, {len(data)} instances) is not what "
            f"the run was recorded on ({plan.data}, {plan.n_instances} instances). Its "
            "scores would belong to other instances; load the original data."
        )


def draw(game: Game, data: Columns, plan: Plan, state: State) -> tuple[Batch, Noise]:
    """The instances and the noise of the move that follows `state`."""
    move = state.step
    if game.reads(move):
        index = plan.index(game.n_reads(move))
    else:
        index = torch.empty(0, dtype=torch.int64)
    any_param = next(iter(state.params[game.movers(move)[0]].values()))
    columns = {
        name: plan.numerics.ordered(column[index].to(any_param))
        if column.is_floating_point()
        else column[index].to(any_param.device)
        for name, column in data.tensors.items()
    }
    noise = game.draw(
        plan.batch_size, _rng.generator(plan.seed, "noise", move), state.view()
    )
    noise = {name: value.to(any_param.device) for name, value in noise.items()}
    return Batch(index, columns), noise


def weights_of(plan: Plan, batch: Batch, state: State) -> Tensor:
    """The weights of a batch, in the dtype and on the device of the parameters."""
    any_param = next(iter(next(iter(state.params.values())).values()))
    return plan.weights[batch.index].to(any_param)


def layer_noise(game: Game, plan: Plan, move: int) -> AbstractContextManager[None]:
    """A context in which layers such as dropout draw the move's own numbers."""
    if game.has_dropout:
        return _rng.seeded(plan.seed, "layers", move)
    return nullcontext()


def recorded_move(
    game: Game, data: Columns, plan: Plan, state: State, weights: Tensor | None = None
) -> tuple[State, dict[str, Scalar]]:
    """The move that follows `state` in the run that `plan` describes."""
    batch, noise = draw(game, data, plan, state)
    if weights is None:
        weights = weights_of(plan, batch, state)
    numerics = plan.numerics
    with numerics.arithmetic(), layer_noise(game, plan, state.step):
        return step(game, state, batch, noise, weights, gradient=numerics.gradient)
