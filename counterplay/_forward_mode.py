"""Forwards: carry the tangents of a few weights along the recorded run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from counterplay._adjoint import AbstractAdjoint
from counterplay._step import by_transform, step
from counterplay._trajectory import draw, layer_noise, Plan, recorded_move, weights_of
from counterplay.errors import TraceError
from counterplay.game import Columns, Game, State
from counterplay.ranks import SharedGame
from counterplay.typing import Tensors


@dataclass(frozen=True)
class ForwardMode(AbstractAdjoint):
    """The exact derivative for a few instances, by tangents carried along the run.

    Source: Griewank and Walther 2008, chapter 3. Error: none but rounding. Costs one more
    run per instance; memory does not grow with the number of moves.

    Attributes:
        instances: Rows of the training set to trace.
        start: First move at which their weights count.
    """

    instances: tuple[int, ...]
    start: int = 0

    def gradients(self, game, data, trajectory, cotangents, *, on_move=None, kept=None):
        """See `AbstractAdjoint.gradients`.

        Raises:
            TraceError: If an instance does not exist, or ranks share the game.
        """
        if isinstance(game, SharedGame):
            raise TraceError(
                "`ForwardMode` pushes many tangents at once, which ranks cannot share. Use "
                "`Unroll()` on them, or `ForwardMode` on a run that one process played."
            )
        rows = torch.tensor(self.instances, dtype=torch.int64)
        if not len(rows) or int(rows.min()) < 0 or int(rows.max()) >= len(data):
            raise TraceError(
                f"`instances` must name rows from 0 to {len(data) - 1}, at least one, got "
                f"{self.instances}."
            )
        state = trajectory.state_at(game, data, self.start)
        tangents = {
            name: value.new_zeros(len(rows), *value.shape)
            for name, value in state.tensors().items()
            if value.is_floating_point()
        }
        while state.step < trajectory.n_steps:
            tangents, state = _push(game, data, trajectory.plan, state, tangents, rows)
            state = trajectory.check(state)
            if on_move is not None:
                on_move(state.step - self.start, trajectory.n_steps - self.start)
        gradients = torch.full((len(cotangents), len(data)), torch.nan, dtype=torch.float64)
        for i, cotangent in enumerate(cotangents):
            by_row = torch.zeros(len(rows), dtype=torch.float64)
            for name, value in cotangent.items():
                products = (tangents[name] * value).reshape(len(rows), -1)
                by_row += products.sum(1).double().cpu()
            gradients[i, rows] = by_row
        return gradients[:, None]


def _push(
    game: Game, data: Columns, plan: Plan, state: State, tangents: Tensors, rows: Tensor
) -> tuple[Tensors, State]:
    """The tangents and the state after one more move."""
    batch, noise = draw(game, data, plan, state)
    weights = weights_of(plan, batch, state)
    everything = state.tensors()

    def moved(floating: Tensors, weights: Tensor) -> Tensors:
        before = state.with_tensors({**everything, **floating})
        after, _ = step(game, before, batch, noise, weights, gradient=by_transform)
        return {name: after.tensors()[name] for name in tangents}

    def push(tangent: Tensors, along: Tensor) -> Tensors:
        point = {name: everything[name] for name in tangents}
        return torch.func.jvp(moved, (point, weights), (tangent, along))[1]

    chosen = (batch.index[None, :] == rows[:, None]).to(weights)
    with torch.no_grad():
        with layer_noise(game, plan, state.step):
            pushed = torch.func.vmap(push, randomness="same")(tangents, chosen)
        after, _ = recorded_move(game, data, plan, state)
    return pushed, after
