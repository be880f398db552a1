"""Whether a game settles where it is: the eigenvalues of a round of its moves.

Near an equilibrium a round of the schedule changes a small deviation of the state by a
matrix. Deviations die out if all its eigenvalues are inside the unit circle; a pair outside
of it, off the real axis, is the rotation in which players chase each other.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex
from numpy.typing import NDArray
from scipy.sparse.linalg import eigs, LinearOperator
from torch import Tensor

from counterplay._backwards import backwards
from counterplay._trajectory import Trajectory
from counterplay.errors import TraceError
from counterplay.game import Columns, Game
from counterplay.typing import Tensors


DENSE = 2_000  # numbers of a state up to which the whole matrix is made
_MEMORY = "1GiB"


def eigenvalues(
    game: Game, data: Columns, trajectory: Trajectory, *, rounds: int = 1, k: int = 6
) -> Complex[NDArray, " n"]:
    """Eigenvalues of the last rounds of a run, as a map of the whole state.

    The state is the parameters, the optimizers' memory and what else a move changes, so
    momentum and Adam are part of the map. It is the map of the moves as they were played,
    on their batches and noise: let batches be large, or take several rounds, if these vary
    much. Eigenvalues of parameters that nothing depends on are 1, those of moving averages
    below it.

    A run of few moves from a state of interest will do: its last rounds are looked at. Up
    to 2,000 numbers in the state all eigenvalues are found, beyond that the `k` largest, by
    Arnoldi's iteration.
    Source: Mescheder, Nowozin and Geiger 2017, arXiv 1705.10461, for the criterion; there
    it is of simultaneous gradient steps.

    Args:
        game: The game.
        data: Its training set.
        trajectory: A run of at least `rounds` times the length of the schedule.
        rounds: Rounds of the schedule that are taken together.
        k: How many are found of a large state.

    Returns:
        The eigenvalues, the largest first, each over all of the rounds together.

    Raises:
        TraceError: If the run is too short.
    """
    n_moves = rounds * len(game.schedule)
    if rounds < 1 or trajectory.n_steps < n_moves:
        raise TraceError(
            f"`rounds` must be at least 1, and {rounds} take {n_moves} moves, but the run "
            f"has {trajectory.n_steps}. Play longer, or look at fewer."
        )
    like = {
        name: tensor
        for name, tensor in trajectory.final.tensors().items()
        if tensor.is_floating_point()
    }
    sizes = [tensor.numel() for tensor in like.values()]

    def pulled(rows: Tensor) -> NDArray[np.float64]:
        """Rows of numbers by the state after the rounds, to rows by the state before."""
        found = _pulled(game, data, trajectory, n_moves, _unflat(rows, like))
        return _flat(found, like).numpy()

    n = sum(sizes)
    if n <= DENSE:
        matrix = pulled(torch.eye(n, dtype=torch.float64))
        found = np.linalg.eigvals(matrix)
    else:
        one = lambda v: pulled(torch.from_numpy(np.ascontiguousarray(v)).reshape(1, -1))[0]
        start = np.random.default_rng(0).normal(size=n)
        found = eigs(_operator(one, n), k=k, v0=start, return_eigenvectors=False)
    return found[np.argsort(-np.abs(found))]


def growth(game: Game, data: Columns, trajectory: Trajectory, *, rounds: int = 1) -> float:
    """By what a small deviation is multiplied in a round, in the long run.

    The largest modulus of `eigenvalues`, per round. Below 1 the game settles, above 1 it
    leaves; 1 exactly, within rounding, also has what nothing depends on.

    Args:
        game: The game.
        data: Its training set.
        trajectory: A run of at least `rounds` times the length of the schedule.
        rounds: Rounds that are taken together, to average over batches.

    Returns:
        The factor.
    """
    largest = eigenvalues(game, data, trajectory, rounds=rounds, k=1)[0]
    return float(abs(largest) ** (1 / rounds))


def _operator(product: Callable[[NDArray], NDArray], n: int) -> LinearOperator:
    make: Any = LinearOperator  # whose stubs know only its base class
    return make((n, n), matvec=product, dtype=np.float64)


def _pulled(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    n_moves: int,
    cotangents: list[Tensors],
) -> list[Tensors]:
    end = trajectory.n_steps
    for tape in backwards(
        game, data, trajectory, start=end - n_moves, stop=end, memory=_MEMORY
    ):
        cotangents, _ = tape.pull(cotangents)
    return cotangents


def _unflat(rows: Tensor, like: Tensors) -> list[Tensors]:
    parts = rows.split([tensor.numel() for tensor in like.values()], dim=1)
    return [
        {
            name: part[i].view_as(tensor).to(tensor)
            for (name, tensor), part in zip(like.items(), parts, strict=True)
        }
        for i in range(len(rows))
    ]


def _flat(rows: Sequence[Tensors], like: Tensors) -> Tensor:
    return torch.stack([
        torch.cat([
            row.get(name, torch.zeros_like(tensor)).detach().double().cpu().flatten()
            for name, tensor in like.items()
        ])
        for row in rows
    ])  # fmt: skip
