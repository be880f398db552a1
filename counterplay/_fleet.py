"""Fleets: many counterfactual runs of one recorded run, played as cheaply as they allow.

A run with other weights at some instances is the run as it was until the first of them is
drawn. So runs depart from the unchanged run one by one, and what they share is played once.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn, Tensor
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from counterplay._play import continue_run
from counterplay._step import by_transform, step
from counterplay._trajectory import draw, layer_noise, Plan, Trajectory, weights_of
from counterplay.errors import PlayError
from counterplay.game import Columns, Game, State
from counterplay.metrics.target import Target
from counterplay.typing import Tensors


class Fleet:
    """Counterfactual runs, and all that is needed to play them in any process."""

    def __init__(
        self,
        game: Game,
        data: Columns,
        trajectory: Trajectory,
        metrics: Sequence[Target] = (),
        *,
        since: int = 0,
        vmapped: bool = True,
    ):
        """Prepare to retrain from a move on.

        Args:
            game: The game.
            data: The training set of the run.
            trajectory: The run.
            metrics: What is measured at the end.
            since: Retrain from this move on.
            vmapped: Whether runs are played at once, or one after the other.
        """
        self.game, self.data, self.metrics = game, data, metrics
        self.since, self.vmapped = since, vmapped
        start = trajectory.state_at(game, data, since)
        # Without fingerprints: other arithmetic than that of the record may be at work, and
        # differences are taken to runs of the same arithmetic.
        self.run = replace(trajectory, checkpoints={since: start}, fingerprints={})
        self.first = first_draws(game, trajectory.plan, since, trajectory.n_steps)
        self._reached = start

    def departures(self, rows: Tensor) -> Tensor:
        """The move at which each run departs from the unchanged one, `(n_runs,)`."""
        same = rows == self.run.plan.weights
        return self.first.masked_fill(same, self.run.n_steps).amin(1)

    def __call__(self, rows: Tensor) -> Tensor:
        """Metrics of runs with other weights, minus those of the unchanged run.

        Args:
            rows: One set of weights per run, `(n_runs, n)`.

        Returns:
            Shape `(n_runs, n_metrics)`, float64.
        """
        if self.vmapped:
            unchanged, *states = self.final_states(rows)
            base = self._values(unchanged)
            return torch.stack([self._values(state) - base for state in states])
        departures = self.departures(rows).tolist()
        ends = [self._play(row, move) for row, move in zip(rows, departures, strict=True)]
        return torch.stack([end - self._unchanged for end in ends])

    def final_states(self, rows: Tensor) -> list[State]:
        """Final states of all runs, played in one vmapped loop.

        One draw per move serves all runs, from the parameters of the unchanged one; so a
        game's `draw` may read the shapes of `params` but not their values.

        Args:
            rows: One set of weights per run, `(n_runs, n)`.

        Returns:
            The state of the unchanged run, and one per row.
        """
        departures = self.departures(rows)
        order = departures.argsort(stable=True)
        due = departures[order].tolist()
        state = self._unchanged_at(due[0])
        stacked = {name: tensor[None] for name, tensor in state.tensors().items()}
        weights = self.run.plan.weights[None]
        while state.step < self.run.n_steps:
            joined = len(weights) - 1
            if joined < len(due) and due[joined] == state.step:
                new = order[joined : joined + due.count(state.step)]
                weights = torch.cat([weights, rows[new].to(weights)])
                stacked = {
                    name: torch.cat(
                        [tensor, tensor[:1].expand(len(new), *tensor.shape[1:])]
                    )
                    for name, tensor in stacked.items()
                }
            unchanged = {name: tensor[0] for name, tensor in stacked.items()}
            stacked = self._move(state.with_tensors(unchanged), stacked, weights)
            state = replace(state, step=state.step + 1)
        place = torch.zeros(len(rows), dtype=torch.int64)  # of runs that never depart
        place[order[: len(weights) - 1]] = torch.arange(1, len(weights))
        return [
            state.with_tensors({name: tensor[i] for name, tensor in stacked.items()})
            for i in [0, *place.tolist()]
        ]

    def _move(self, unchanged: State, stacked: Tensors, weights: Tensor) -> Tensors:
        """The next move of all runs in `stacked`."""
        plan = self.run.plan
        batch, noise = draw(self.game, self.data, plan, unchanged)

        def move(tensors: Tensors, weights: Tensor) -> Tensors:
            before = unchanged.with_tensors(tensors)
            after, _ = step(self.game, before, batch, noise, weights, gradient=by_transform)
            return after.tensors()

        own = weights[:, batch.index].to(weights_of(plan, batch, unchanged))
        arithmetic, layers = (
            plan.numerics.arithmetic(),
            layer_noise(self.game, plan, unchanged.step),
        )
        with torch.no_grad(), arithmetic, layers:
            return torch.func.vmap(move, randomness="same")(stacked, own)

    def _play(self, row: Tensor, departure: int) -> Tensor:
        """The metrics of one run.

        Raises:
            PlayError: If it fails; the text says which run.
        """
        plan = replace(self.run.plan, weights=row.double())
        n_steps = self.run.n_steps
        start = self._unchanged_at(departure)
        try:
            run = continue_run(
                self.game, self.data, plan, start,
                n_steps=n_steps, every=n_steps + 1, since=start.step, kept={},
            )  # fmt: skip
        except PlayError as error:
            changed = (row != self.run.plan.weights).nonzero().flatten().tolist()
            raise PlayError(
                f"The run with other weights at {len(changed)} instances, first "
                f"{changed[:3]}, failed. {error}"
            ) from error
        return self._values(run.final)

    @functools.cached_property
    def _unchanged(self) -> Tensor:
        """The metrics of the unchanged run by the arithmetic of this process."""
        return self._play(self.run.plan.weights, self.since)

    def _unchanged_at(self, move: int) -> State:
        """The unchanged run before `move`, played on from where it was last needed."""
        if self._reached.step > move:
            self._reached = self.run.checkpoints[self.since]
        self._reached = self.run.replay(self.game, self.data, self._reached, move)
        return self._reached

    def _values(self, state: State) -> Tensor:
        return torch.tensor([one.value(state) for one in self.metrics], dtype=torch.float64)


def first_draws(game: Game, plan: Plan, since: int, n_steps: int) -> Tensor:
    """The first move from `since` on that reads each instance, `(n,)`; else `n_steps`."""
    first = torch.full((plan.n_instances,), n_steps)
    for move in range(since, n_steps):
        if game.reads(move):
            index = plan.index(game.n_reads(move))
            first[index] = first[index].clamp(max=move)
            if (first < n_steps).all():
                break
    return first


def against_vmap(game: Game, plan: Plan) -> str:
    """Why runs are better played one after the other; empty if they are not."""
    layers = [layer for module in game.modules.values() for layer in module.modules()]
    if any(isinstance(layer, nn.RNNBase) for layer in layers):
        return "PyTorch's recurrent layers cannot be vmapped"
    convolutions = any(isinstance(layer, _ConvNd) for layer in layers)
    if convolutions and torch.device(plan.numerics.device).type == "cpu":
        return "vmapped convolutions are slow on a CPU"
    if plan.numerics.precision == "bfloat16":
        return "vmapped runs would not be rounded to bfloat16"
    return ""
