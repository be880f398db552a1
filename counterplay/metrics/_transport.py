"""Optimal transport between two sets of rows: in one dimension, and as a plan in more."""

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize, sparse
from torch import Tensor

from counterplay.errors import DataError
from counterplay.typing import Features


MOST_EQUAL = 10**8  # pairs of as many real as fake rows: a minute, 1 GB
MOST_UNEQUAL = 10**6  # pairs otherwise: some ten seconds


def between_sorted(
    real: Features, fake: Float[Tensor, "m d"], power: int
) -> Float[Tensor, " d"]:
    """Wasserstein distance^power of each column, the integral between their quantiles.

    Differentiable in both.
    """
    n, m = len(real), len(fake)
    ends = torch.cat([m * torch.arange(1, n + 1), n * torch.arange(1, m + 1)]).unique()
    widths = ends.diff(prepend=ends.new_zeros(1)).to(real.dtype) / (n * m)
    real, fake = real.sort(dim=0).values, fake.sort(dim=0).values
    between = real[(ends - 1) // m] - fake[(ends - 1) // n]  # steps end at i/n and j/m
    return widths @ between.abs() ** power


def best_plan(real: Features, fake: Float[Tensor, "m d"]) -> tuple[Tensor, Tensor, Tensor]:
    """The rows that the best transport pairs, and how much of all goes between them.

    Raises:
        DataError: If there are too many pairs for an exact plan.
    """
    n, m = len(real), len(fake)
    most = MOST_EQUAL if n == m else MOST_UNEQUAL
    if n * m > most:
        raise DataError(
            f"{n} real and {m} fake rows make {n * m} pairs, and an exact Wasserstein "
            f"distance is for up to {most} of them{'' if n == m else ' if n != m'}. Give "
            "as many real as fake rows, or fewer; `sliced_wasserstein` takes any."
        )
    centre = real.mean(0)
    costs = torch.cdist(real - centre, fake - centre).numpy()
    if n == m:
        i, j = optimize.linear_sum_assignment(costs)
        return torch.as_tensor(i), torch.as_tensor(j), real.new_full((n,), 1 / n)
    # Integer masses, m from each real row and n to each fake one, make integer plans.
    leave = sparse.kron(sparse.eye(n), np.ones((1, m)))
    arrive = sparse.kron(np.ones((1, n)), sparse.eye(m))
    masses = np.concatenate([np.full(n, m), np.full(m, n)])
    constraints = sparse.vstack([leave, arrive]).tocsr()
    moved = optimize.linprog(costs.ravel(), A_eq=constraints, b_eq=masses).x
    moved = torch.as_tensor(moved).round().reshape(n, m) / (n * m)
    i, j = moved.nonzero(as_tuple=True)
    return i, j, moved[i, j]
