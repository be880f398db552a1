"""Data parallelism: one run whose batches are shared by several processes, the ranks.

A shared game is the same game with other losses. Every rank holds the whole state and draws
the whole move, computes the loss of its own part of the batch, and the mean over ranks is
the loss of the batch: losses are means over instances with a fixed denominator. Derivatives
of any order follow from two functions that are each other's transpose, in `_collectives`.

So playing, replaying and tracing a shared game are the same code as for any other: update
rules are computed alike on every rank, and every rank ends with the whole influence.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Self

import torch
from torch import distributed, Tensor

from counterplay import _layers
from counterplay._checkpoint import fingerprint
from counterplay._collectives import broadcast, collect, gather, in_contact, largest, spread
from counterplay._step import by_autograd, step
from counterplay._trajectory import draw, Plan, weights_of
from counterplay.errors import GameError, RankError, TraceError
from counterplay.game import Batch, Columns, Game, Loss, State
from counterplay.typing import Noise, Params, Scalar, Tensors, Weights


@dataclass(frozen=True)
class Ranks:
    """The processes that share a run; a single one unless `joined` says otherwise.

    Attributes:
        rank: The number of this process.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    @contextmanager
    def joined(cls, *, timeout_s: float = 1_800.0) -> Iterator[Self]:
        """Join the processes that `torchrun` started; without it, be alone.

        A group that another launcher has made is used as it is. On machines with CUDA each
        process computes on the device of its local rank.

        Args:
            timeout_s: How long to wait for another rank, in seconds.

        Yields:
            The ranks.
        """
        if distributed.is_initialized():
            yield cls(distributed.get_rank(), distributed.get_world_size())
            return
        if not launched():
            yield cls()
            return
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        with in_contact("joining the others"):
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if cuda else "gloo",
                timeout=timedelta(seconds=timeout_s),
            )
        try:
            yield cls(distributed.get_rank(), distributed.get_world_size())
        except BaseException:
            if not cuda:  # NCCL would wait for ranks that may be gone
                distributed.destroy_process_group()
            raise
        distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files."""
        return self.rank == 0

    def share(self, game: Game, batch_size: int) -> Game:
        """The same game, each of its losses computed by all ranks together.

        Args:
            game: The game.
            batch_size: Instances per move; noise with as many rows is shared as well.

        Returns:
            The shared game, or the game itself on a single rank.

        Raises:
            GameError: If a batch cannot be computed in equal parts.
        """
        if self.size == 1:
            return game
        if batch_size % self.size:
            raise GameError(
                f"A batch of {batch_size} instances cannot be shared equally by "
                f"{self.size} ranks. Use a `batch_size` that {self.size} divides, such as "
                f"{-(-batch_size // self.size) * self.size}."
            )
        if game.has_dropout:
            raise GameError(
                "A network draws random numbers of its own (dropout), which would be "
                f"others on each of {self.size} ranks. Take them from `draw`, leave the "
                "layer out, or play on one rank."
            )
        if game.couples_instances:
            raise GameError(
                "The game couples the instances of a batch (`couples_instances=True`), so "
                "the loss of a batch is not the mean over its parts. Play it on one rank."
            )
        own = {field.name: getattr(game, field.name) for field in fields(game)}
        own["losses"] = {
            player: SharedLoss(self, player, loss, batch_size)
            for player, loss in game.losses.items()
        }
        return SharedGame(**own, ranks=self)

    def require_parts(self, game: Game, data: Columns, plan: Plan, state: State) -> None:
        """Check on two instances per rank that the parts of a batch make up the whole.

        Args:
            game: The game, not shared.
            data: The training set.
            plan: The draws.
            state: The state before the first move.

        Raises:
            GameError: If they do not.
        """
        if self.size == 1:
            return
        n = min(2 * self.size, plan.batch_size)
        shared = self.share(game, n)
        for move in range(len(game.schedule)):
            before = replace(state, step=move)
            batch, noise = draw(game, data, plan, before)
            weights = weights_of(plan, batch, before)
            few = _rows(batch, noise, weights, slice(n), plan.batch_size)
            with plan.numerics.arithmetic():
                whole = _derivatives(game, before, *few)
                parts = _derivatives(shared, before, *few)
            for player, wanted in whole.items():
                _require_same(player, wanted, parts[player])

    def require_recorded(self, plan: Plan) -> None:
        """Refuse a run that another number of ranks has played.

        Raises:
            TraceError: If it is one.
        """
        if plan.numerics.n_ranks != self.size:
            raise TraceError(
                f"The run was played by {plan.numerics.n_ranks} ranks, but here are "
                f"{self.size}. Sums over other parts of a batch have other last digits, so "
                "its moves could not be repeated. Start as many as played it: `torchrun "
                f"--nproc-per-node {plan.numerics.n_ranks}`, on one machine."
            )

    def store(self, kept: MutableMapping[int, State]) -> MutableMapping[int, State]:
        """The same checkpoints, written by the first rank; those in memory, by each."""
        return kept if self.size == 1 or isinstance(kept, dict) else Store(self, kept)

    def agree(self, what: str, text: str) -> None:
        """Wait for all ranks and compare what they have found.

        Raises:
            RankError: If a rank has found something else.
        """
        if self.size == 1:
            return
        digests = gather(hashlib.blake2b(text.encode(), digest_size=12).hexdigest())
        others = [rank for rank, found in enumerate(digests) if found != digests[0]]
        if others:
            raise RankError(
                f"{what} is not the same on rank 0 and on {others}, so they do not compute "
                "one run any more. Usual causes: devices, thread counts or PyTorch "
                "versions that differ between ranks. What was written before is intact."
            )

    def told(self, make: Callable[[], str]) -> str:
        """What the first rank makes, for all of them.

        Raises:
            RankError: On the others, if the first one fails.
        """
        if self.size == 1:
            return make()
        found = ""
        try:
            if self.is_first:
                found = make()
        finally:
            found = broadcast(found)
        if not found:
            raise RankError("The first rank has failed and says why; this one stops too.")
        return found

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers, for decisions that all must take alike."""
        return number if self.size == 1 else largest(number)


ALONE = Ranks()


def launched() -> bool:
    """Whether `torchrun`, or a launcher like it, has started several processes."""
    return {"RANK", "MASTER_ADDR"} <= os.environ.keys() and (
        int(os.environ.get("WORLD_SIZE", "1")) > 1
    )


@dataclass(frozen=True)
class SharedGame(Game):
    """A game whose losses are computed by all ranks together.

    Attributes:
        ranks: Who they are.
    """

    ranks: Ranks = ALONE


@dataclass(frozen=True)
class SharedLoss:
    """The loss of a whole batch, of which each rank computes its part.

    Attributes:
        ranks: Who shares it.
        player: Whose loss it is.
        loss: The loss.
        batch_size: Instances of a whole batch.
    """

    ranks: Ranks
    player: str
    loss: Loss
    batch_size: int

    def __call__(
        self, params: Params, batch: Batch, noise: Noise, weights: Weights
    ) -> Scalar:
        """The loss, the same on every rank; buffers are written into `params[player]`."""
        local, weights = self._entered(params, weights)
        entered = dict(local[self.player])
        each = self.batch_size // self.ranks.size
        part = slice(self.ranks.rank * each, (self.ranks.rank + 1) * each)
        with _layers.pooled(self._mean, self.ranks.size):
            value = self.loss(local, *_rows(batch, noise, weights, part, self.batch_size))
        written = {
            name: tensor
            for name, tensor in local[self.player].items()
            if tensor is not entered[name] and tensor.is_floating_point()
        }
        value, *buffers = self._means([value, *written.values()])
        params[self.player].update(zip(written, buffers, strict=True))
        return value

    def _entered(self, params: Params, weights: Weights) -> tuple[Params, Weights]:
        """What the loss reads, as inputs of this rank's own part."""
        # Two messages, as a player's own gradient must not go through what it holds fixed.
        own = params[self.player]
        others = [
            (player, name)
            for player, group in params.items()
            for name in group
            if player != self.player
        ]
        fixed = spread([*(params[player][name] for player, name in others), weights])
        local = {player: {} for player in params}
        local[self.player] = dict(zip(own, spread(list(own.values())), strict=True))
        for (player, name), tensor in zip(others, fixed[:-1], strict=True):
            local[player][name] = tensor
        return local, fixed[-1]

    def _means(self, tensors: list[Tensor]) -> list[Tensor]:
        return collect([tensor / self.ranks.size for tensor in tensors])

    def _mean(self, tensor: Tensor) -> Tensor:
        return spread(self._means([tensor]))[0]


class Store(MutableMapping[int, State]):
    """Checkpoints that the first rank writes and all ranks read."""

    def __init__(self, ranks: Ranks, kept: MutableMapping[int, State]):
        # All look at the same time: none writes before, and none goes on to write.
        ranks.agree("The run", "")
        self._ranks, self._kept, self._moves = ranks, kept, set(kept)
        self._prints: dict[int, str] = {}
        ranks.agree("The list of checkpoints", repr(sorted(kept)))

    def __setitem__(self, move: int, state: State) -> None:
        self._prints[move] = fingerprint(state)
        self._ranks.agree(f"The state at move {move}", self._prints[move])
        if self._ranks.is_first:
            self._kept[move] = state
        self._moves.add(move)
        self._ranks.agree("The list of checkpoints", repr(sorted(self._moves)))

    def __getitem__(self, move: int) -> State:
        return self._kept[move]

    def fingerprint_of(self, move: int) -> str:
        """The fingerprint of a kept state, if need be from its file."""
        if move not in self._prints:
            self._prints[move] = fingerprint(self._kept[move])
        return self._prints[move]

    def __delitem__(self, move: int) -> None:
        self._prints.pop(move, None)
        self._moves.remove(move)
        if self._ranks.is_first:
            del self._kept[move]

    def __contains__(self, move: object) -> bool:
        return move in self._moves

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._moves))

    def __len__(self) -> int:
        return len(self._moves)


def _rows(
    batch: Batch, noise: Noise, weights: Weights, rows: slice, size: int
) -> tuple[Batch, Noise, Weights]:
    """Some rows of a move's batch of `size`; other noise is for the batch as a whole."""
    columns = {name: column[rows] for name, column in batch.columns.items()}
    drawn = {
        name: value[rows] if value.shape[:1] == (size,) else value
        for name, value in noise.items()
    }
    return Batch(batch.index[rows], columns), drawn, weights[rows]


def _derivatives(
    game: Game, state: State, batch: Batch, noise: Noise, weights: Weights
) -> dict[str, Tensors]:
    """What each mover's loss gives: its value, its gradient and the new buffers."""
    found = []

    def record(loss, params):
        grads, value, buffers = by_autograd(loss, params)
        found.append({"": value, **grads, **buffers})
        return grads, value, buffers

    with torch.no_grad():
        step(game, state, batch, noise, weights, gradient=record)
    return dict(zip(game.movers(state.step), found, strict=True))


def _require_same(player: str, whole: Tensors, parts: Tensors) -> None:
    """Refuse a loss whose mean over parts of a batch is not that of the whole.

    Raises:
        GameError: If it is not.
    """
    whole = {k: v for k, v in whole.items() if v.is_floating_point() and v.numel()}
    sizes = {name: float(wanted.abs().max()) for name, wanted in whole.items()}
    for name, wanted in whole.items():
        error = float((parts[name] - wanted).abs().max())
        # A derivative that is 0 but for rounding has no size of its own.
        size = max(sizes[name], 0.03 * max(sizes.values()))
        if not error <= torch.finfo(wanted.dtype).eps ** 0.5 * size:
            what = f"derivative by {name!r}" if name else "value"
            raise GameError(
                f"The loss of player {player!r} cannot be computed in parts: its {what} on "
                f"a batch differs by {error:.3g} from the mean over the parts. A loss must "
                "be a mean over instances and samples, and no layer but batch "
                "normalisation may mix them: use GroupNorm or LayerNorm, and noise with "
                "one row for each instance. Or play on one rank."
            )
