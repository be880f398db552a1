"""The vocabulary: what a game is, what it reads, and what its state consists of.

A game is named players, one loss per player, and a schedule of moves. It knows nothing of
loops, devices, recording or influence: a loss that honours its weights has all of these.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable, Self

import torch
from torch import nn, Tensor

from counterplay import _layers
from counterplay._apply import apply_of as apply_of, Network as Network
from counterplay._notebook import card
from counterplay.errors import DataError, GameError
from counterplay.optim import Optimizer
from counterplay.typing import (
    Buffers,
    Index,
    Noise,
    Params,
    Scalar,
    Slots,
    Tensors,
    Weights,
)


STATE_PARTS = ("params", "buffers", "slots", "averages")
Move = tuple[str, ...]  # the players that move together, each reading the same old state
OfInstances = Callable[[Params, Tensor], Tensor]  # by networks in evaluation mode


@dataclass(frozen=True)
class Columns:
    """A set of instances: named tensors with one row each, and who each row is.

    Attributes:
        tensors: Column name to tensor, all with `n` rows. Column `"x"` is what is
            generated, `"y"` a class label where there is one, -1 for an instance without.
        ids: One name per instance (a file name, a row number), kept to the end of every
            output.
        kind: What a row of `"x"` is: `"image"`, `"point"`, `"row"` or `"window"`.
        class_names: Names of the labels, if any.
    """

    tensors: Mapping[str, Tensor]
    ids: tuple[str, ...]
    kind: str = "row"
    class_names: tuple[str, ...] = ()

    def __post_init__(self):
        for name, column in self.tensors.items():
            if len(column) != len(self.ids):
                raise DataError(
                    f"Column {name!r} has {len(column)} rows, but there are "
                    f"{len(self.ids)} ids. Every instance needs one row in every column."
                )
            if column.is_floating_point() and not torch.isfinite(column).all():
                finite = torch.isfinite(column.flatten(1) if column.dim() > 1 else column)
                bad = int((~finite.reshape(len(column), -1).all(1)).nonzero()[0])
                raise DataError(
                    f"Column {name!r} of instance {self.ids[bad]!r} holds NaN or infinity; "
                    "one such value would spread to every parameter. Drop or impute the "
                    "instance."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise DataError(
                f"There is no column {name!r}; there are {sorted(self.tensors)}."
            )
        return self.tensors[name]

    @functools.cached_property
    def labels(self) -> tuple[str, ...] | None:
        """Every instance's label as text, empty where it has none; None without `"y"`."""
        if (y := self.tensors.get("y")) is None:
            return None
        if y.is_floating_point():
            return tuple(f"{value:g}" for value in y.tolist())
        text = self.class_names.__getitem__ if self.class_names else str
        return tuple(text(int(label)) if label >= 0 else "" for label in y.tolist())

    def select(self, index: Index | Sequence[int]) -> Self:
        """The instances at `index`, in that order."""
        index = torch.as_tensor(index, dtype=torch.int64)
        return replace(
            self,
            tensors={name: column[index] for name, column in self.tensors.items()},
            ids=tuple(self.ids[int(i)] for i in index),
        )

    def to(self, *, device: torch.device | str | None = None, dtype=None) -> Self:
        """The same instances on another device; floating columns in another dtype."""
        return replace(
            self,
            tensors={
                name: column.to(
                    device=device, dtype=dtype if column.is_floating_point() else None
                )
                for name, column in self.tensors.items()
            },
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of every value and id; a run refuses to continue on other data."""
        digest = hashlib.blake2b("\0".join(self.ids).encode(), digest_size=12)
        for name in sorted(self.tensors):
            digest.update(name.encode())
            digest.update(self.tensors[name].contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Batch:
    """The instances that one move reads; `index` holds their rows in the training set."""

    index: Index
    columns: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.columns:
            known = sorted(self.columns)
            raise DataError(f"A loss reads the column {name!r}, but the data has {known}.")
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.index)


@runtime_checkable
class Loss(Protocol):
    """What one player minimises.

    The weight contract: `weights[i]` scales whatever instance `batch.index[i]` contributes;
    denominators stay as they are (an instance at weight 0 still counts in the batch size);
    and at weight 0 no loss depends on that instance. A loss never detaches another player's
    output: the engine decides what is differentiated.
    """

    def __call__(
        self, params: Params, batch: Batch, noise: Noise, weights: Weights
    ) -> Scalar:
        """The loss, a scalar."""
        ...


@runtime_checkable
class Draw(Protocol):
    """One move's random numbers, for `size` instances."""

    def __call__(self, size: int, generator: torch.Generator, params: Params) -> Noise:
        """Named tensors, drawn from `generator` alone."""
        ...


@runtime_checkable
class Sample(Protocol):
    """What the game generates from noise, with its networks in evaluation mode."""

    def __call__(self, params: Params, noise: Noise) -> Tensor:
        """One sample per row of the noise."""
        ...


@dataclass(frozen=True)
class State:
    """Everything the next move depends on. Never changed in place.

    Attributes:
        step: Moves played so far.
        params: What the losses are differentiated by.
        buffers: Spectral-norm vectors, batch-norm statistics, frozen parameters.
        slots: Optimizer memory.
        averages: Moving averages of the players that have one.
    """

    step: int
    params: Params
    buffers: Buffers
    slots: Mapping[str, Slots]
    averages: Params = field(default_factory=dict)

    def tensors(self) -> Tensors:
        """All tensors under flat names, such as `params/G/0.weight`."""
        return {
            f"{part}/{player}/{name}": tensor
            for part in STATE_PARTS
            for player, group in getattr(self, part).items()
            for name, tensor in group.items()
        }

    @property
    def n_bytes(self) -> int:
        """What the state takes in memory."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def with_tensors(self, tensors: Tensors) -> Self:
        """The same state with other tensors, by the names that `tensors` gives."""
        parts = {
            part: {
                player: {name: tensors[f"{part}/{player}/{name}"] for name in group}
                for player, group in getattr(self, part).items()
            }
            for part in STATE_PARTS
        }
        return replace(self, **parts)

    def view(self, *, averaged: bool = False) -> dict[str, Tensors]:
        """Each player's parameters and buffers in one fresh dict, as losses read them."""
        params = {**self.params, **self.averages} if averaged else self.params
        return {
            player: {**group, **self.buffers[player]} for player, group in params.items()
        }


@dataclass(frozen=True)
class Game:
    """Players, losses, optimizers and a schedule.

    Attributes:
        modules: One network per player; read once for the initial parameters, never
            written.
        losses: One per player.
        optimizers: One per player.
        schedule: The moves, repeated for ever: `(("D",),) * 5 + (("G",),)` alternates,
            `(("D", "G"),)` is simultaneous.
        draw: One move's noise.
        sample: What the game generates, or None if it generates nothing.
        reconstruct: What it makes of instances through their codes, if it has an encoder.
        classify: The logits of instances, one per class, if it learns to classify.
        labels: Which instances need one in column `"y"`; -1 stands for none.
        readers: The players whose loss reads instances; a move of the others consumes no
            batch.
        averages: Half-life, in moves of the player, of its moving average.
        couples_instances: Whether a network mixes the instances of a batch on purpose.
        foresees: Whether losses foresee moves of others, whose memory they then read in
            `params["P.slots"]`; its entry `updates` says how often player P has moved.
    """

    modules: Mapping[str, nn.Module]
    losses: Mapping[str, Loss]
    optimizers: Mapping[str, Optimizer]
    schedule: tuple[Move, ...]
    draw: Draw
    sample: Sample | None = None
    reconstruct: OfInstances | None = None
    classify: OfInstances | None = None
    labels: Literal["none", "some", "all"] = "none"
    readers: tuple[str, ...] = ("D",)
    averages: Mapping[str, float] = field(default_factory=dict)
    couples_instances: bool = False
    foresees: bool = False

    def __post_init__(self):
        players = sorted(self.modules)
        for what in ("losses", "optimizers"):
            if sorted(getattr(self, what)) != players:
                raise GameError(
                    f"`{what}` must have one entry for each player of {players}, got "
                    f"{sorted(getattr(self, what))}."
                )
        moved = sorted({player for move in self.schedule for player in move})
        if moved != players:
            raise GameError(
                f"`schedule` must move every player of {players}, got moves of {moved}."
            )
        for what in ("readers", "averages"):
            unknown = sorted(set(getattr(self, what)) - set(players))
            if unknown:
                raise GameError(f"`{what}` names {unknown}, but the players are {players}.")
        for player, halflife in self.averages.items():
            if halflife <= 0:
                raise GameError(
                    f"`averages` gives {player!r} a half-life of {halflife!r} moves. It "
                    "must be above 0; leave the player out for no average."
                )
        if not self.couples_instances:
            for player in self.readers:
                _refuse_batch_norm(player, self.modules[player])

    def _repr_html_(self) -> str:
        rows = [
            {
                "player": player,
                "network": type(module).__name__,
                "parameters": sum(p.numel() for p in module.parameters()),
                "reads data": "yes" if player in self.readers else "no",
            }
            for player, module in self.modules.items()
        ]
        return card("Game", {"moves": " ".join("+".join(m) for m in self.schedule)}, rows)

    @property
    def players(self) -> tuple[str, ...]:
        """The names of the players."""
        return tuple(self.modules)

    def movers(self, move: int) -> Move:
        """The players of a move."""
        return self.schedule[move % len(self.schedule)]

    def reads(self, move: int) -> bool:
        """Whether a move reads instances."""
        return any(player in self.readers for player in self.movers(move))

    def n_reads(self, move: int) -> int:
        """How many moves before `move` read instances."""
        return _n_before(self._counts[None], move)

    def n_updates(self, player: str, move: int) -> int:
        """How often `player` has moved before `move`."""
        return _n_before(self._counts[player], move)

    @functools.cached_property
    def _counts(self) -> Mapping[str | None, list[int]]:
        """How often, before each move of the schedule, players moved and, at None, read."""
        reads = [self.reads(move) for move in range(len(self.schedule))]
        moved = {p: [p in movers for movers in self.schedule] for p in self.players}
        count = lambda each: list(itertools.accumulate(each, initial=0))
        return {None: count(reads)} | {
            player: count(each) for player, each in moved.items()
        }

    @functools.cached_property
    def has_dropout(self) -> bool:
        """Whether a network draws from PyTorch's global generator."""
        return any(
            isinstance(layer, _layers.DRAWING)
            for module in self.modules.values()
            for layer in module.modules()
        )

    @functools.cached_property
    def networks(self) -> Mapping[str, nn.Module]:
        """The modules with every layer that writes its buffers replaced by a pure one."""
        return {player: _layers.pure(module) for player, module in self.modules.items()}

    @functools.cached_property
    def spectral_layers(self) -> Mapping[str, Mapping[str, _layers.SpectralNorm]]:
        """Per player, the layers whose singular vectors move with it."""
        return {p: _layers.spectral_layers(net) for p, net in self.networks.items()}

    def view(self, state: State) -> dict[str, Tensors]:
        """What losses read of a state."""
        found = state.view()
        for name, slots in state.slots.items() if self.foresees else ():
            count = torch.tensor(self.n_updates(name, state.step))
            found[f"{name}.slots"] = {**slots, "updates": count}
        return found

    def initial(self, *, device: torch.device | str | None = None) -> State:
        """The state before the first move, copied from the modules."""
        params, buffers = {}, {}
        for player, network in self.networks.items():
            everything = {
                **dict(network.named_parameters()),
                **dict(network.named_buffers()),
            }
            params[player], buffers[player] = {}, {}
            for name, value in everything.items():
                group = (
                    params if value.requires_grad else buffers
                )  # frozen ones are constants
                group[player][name] = value.detach().clone().to(device)
        return State(
            step=0,
            params=params,
            buffers=buffers,
            slots={p: self.optimizers[p].init(params[p]) for p in self.players},
            averages={
                p: {k: v.clone() for k, v in params[p].items()} for p in self.averages
            },
        )


def _n_before(counts: Sequence[int], move: int) -> int:
    """How often something that repeats with the schedule happens before a move."""
    rounds, rest = divmod(move, len(counts) - 1)
    return rounds * counts[-1] + counts[rest]


def _refuse_batch_norm(player: str, module: nn.Module) -> None:
    for name, layer in module.named_modules():
        if isinstance(layer, _layers.MIXING):
            raise GameError(
                f"Player {player!r} has a {type(layer).__name__} at {name!r}. It mixes the "
                "instances of a batch, so the influence of one instance is undefined. Use "
                "GroupNorm, or `counterplay.nets.without_batch_norm(module)`."
            )
