"""One move with its graph, ready to be pulled back."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from counterplay._kinks import Kinks
from counterplay._step import detached, step
from counterplay._trajectory import draw, layer_noise, Plan, weights_of
from counterplay.game import Columns, Game, State
from counterplay.ranks import SharedGame
from counterplay.typing import Tensors


class Tape:
    """One move with its graph.

    Attributes:
        before: The state before the move, as leaves.
        after: The state after it.
        index: The instances it read.
    """

    def __init__(
        self,
        game: Game,
        data: Columns,
        plan: Plan,
        state: State,
        kinks: Kinks | None = None,
    ):
        """Play the move that follows `state` and keep its graph, and its kinks if asked."""
        self._kinks = kinks
        self.before = detached(state, requires_grad=True)
        batch, noise = draw(game, data, plan, state)
        self.index, self._shared = batch.index, isinstance(game, SharedGame)
        self._weights = weights_of(plan, batch, state).requires_grad_()
        noted = nullcontext() if kinks is None else kinks.noted()
        with torch.enable_grad(), layer_noise(game, plan, state.step), noted:
            self.after, _ = step(
                game,
                self.before,
                batch,
                noise,
                self._weights,
                gradient=plan.numerics.gradient,
            )

    def pull(
        self, cotangents: Sequence[Tensors], *, carried: bool = True
    ) -> tuple[list[Tensors], Tensor]:
        """Carry cotangents of the state after the move to the state before it.

        The graph is freed.

        Args:
            cotangents: Tensors under the names of `State.tensors`; what is left out is 0.
            carried: Whether the state before is asked for, or only the weights.

        Returns:
            The cotangents before the move, and the derivatives by the weights of the
            batch, shape `(n_cotangents, batch)`, float64.
        """
        outputs = {
            name: tensor
            for name, tensor in self.after.tensors().items()
            if tensor.requires_grad and any(name in given for given in cotangents)
        }
        inputs = {
            name: tensor
            for name, tensor in self.before.tensors().items()
            if carried and tensor.requires_grad
        }
        leaves = [*inputs.values(), self._weights]
        rows = [
            [
                given[name] if name in given else torch.zeros_like(out)
                for name, out in outputs.items()
            ]
            for given in cotangents
        ]
        roots = list(outputs.values())
        at_once = len(rows) > 1 and self._is_small
        with nullcontext() if self._kinks is None else self._kinks.seen():
            found = (_together if at_once else _one_by_one)(roots, leaves, rows)
        pulled = [
            {
                name: grad
                for name, grad in zip(inputs, grads[:-1], strict=True)
                if grad is not None
            }
            for grads in found
        ]
        by_weight = torch.stack(
            [
                torch.zeros_like(self._weights) if grads[-1] is None else grads[-1]
                for grads in found
            ]
        )
        return pulled, by_weight.detach().double().cpu()

    @property
    def _is_small(self) -> bool:
        """Whether calls cost more than arithmetic: no convolution, no image, no message."""
        params = self.before.params.values()
        small = all(param.dim() <= 2 for group in params for param in group.values())
        return small and not self._shared


Grads = Sequence[Tensor | None]


def _one_by_one(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], rows: Sequence[Sequence[Tensor]]
) -> list[Grads]:
    return [
        torch.autograd.grad(
            outputs, inputs, row, retain_graph=i + 1 < len(rows), allow_unused=True
        )
        for i, row in enumerate(rows)
    ]


def _together(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], rows: Sequence[Sequence[Tensor]]
) -> list[Grads]:
    """All cotangents in one pass; convolutions are no faster this way, small layers are."""
    stacked = [torch.stack(column) for column in zip(*rows, strict=True)]
    grads = torch.autograd.grad(
        outputs, inputs, stacked, allow_unused=True, is_grads_batched=True
    )
    return [[None if grad is None else grad[i] for grad in grads] for i in range(len(rows))]


def graph_bytes(
    game: Game, data: Columns, plan: Plan, state: State, kinks: Kinks | None = None
) -> int:
    """The memory of the largest graph of one move, beside the states.

    Args:
        game: The game.
        data: The training set.
        plan: The draws.
        state: Any state of the run.
        kinks: Where kinks are noted, if they are.
    """
    largest = 0
    for movers in dict.fromkeys(game.schedule):
        before = replace(state, step=game.schedule.index(movers))
        with _Made(before) as made:
            tape = Tape(game, data, plan, before, kinks)
        largest = max(largest, made.n_bytes)
        del tape  # not earlier: what it holds is what is counted
    # Ranks that came to different decisions would wait for each other for ever.
    return game.ranks.largest(largest) if isinstance(game, SharedGame) else largest


class _Made(TorchDispatchMode):
    """Notes what operations make beside a state, and counts what is still there."""

    def __init__(self, state: State):
        super().__init__()
        self._others = {
            StorageWeakRef(t.untyped_storage()) for t in state.tensors().values()
        }
        self._made: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for made in out if isinstance(out, tuple | list) else (out,):
            if isinstance(made, Tensor):
                storage = made.untyped_storage()
                self._made[StorageWeakRef(storage)] = storage.nbytes()
        return out

    @property
    def n_bytes(self) -> int:
        return sum(
            n_bytes
            for storage, n_bytes in self._made.items()
            if storage not in self._others and not storage.expired()
        )
