"""Vendi score: how many different samples there are, as far as features can tell."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
from counterplay.metrics._kernels import Kernel
from counterplay.typing import Scalar


def vendi_score(fake: Float[Tensor, "m d"], *, kernel: Kernel | None = None) -> Scalar:
    """Vendi score: the effective number of different samples.

    exp(-sum_i l_i log l_i), with l the eigenvalues of K / m and K the m x m similarities of
    the samples. Higher is better, between 1 (all alike) and m (all orthogonal); with the
    cosine, at most d. Reads no reference: noise scores high, so read it beside a measure of
    quality. Grows with m: compare only at equal m. The cosine sees directions from the
    origin alone and is high between features that are all positive. Cost O(m d min(m, d))
    for the cosine, O(m^3) for another kernel.
    Source: Friedman and Dieng 2023, arXiv 2210.02410, definition 3.1.

    Args:
        fake: Features of generated data; the result is differentiable in it.
        kernel: Similarity, with 1 between a row and itself, such as `kernel.Gaussian(2.0)`;
            by default the cosine.
    """
    rows = checked("fake", fake)
    similar = _cosines(rows) if kernel is None else _similarities(kernel, rows)
    shares = torch.linalg.eigvalsh(similar / len(rows))
    # A share of 0 counts nothing; its logarithm's slope would be infinite.
    shares = shares[shares > len(shares) * torch.finfo(shares.dtype).eps]
    return torch.exp(-(shares * shares.log()).sum())


def _cosines(rows: Tensor) -> Tensor:
    """The cosines of all rows, or the d x d matrix with the same nonzero eigenvalues.

    Raises:
        DataError: If a row is 0.
    """
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    zero = (lengths == 0).flatten()
    if zero.any():
        raise DataError(
            f"{int(zero.sum())} of {len(rows)} rows of `fake` are 0, the first is row "
            f"{int(zero.nonzero()[0])}, so they have no cosine. Give a `kernel` that reads "
            "distances, such as `kernel.Gaussian`."
        )
    rows = rows / lengths
    return rows @ rows.mT if rows.shape[0] < rows.shape[1] else rows.mT @ rows


def _similarities(kernel: Kernel, rows: Tensor) -> Tensor:
    """A kernel's value for all pairs.

    Raises:
        DataError: If a row's similarity to itself is not 1.
    """
    similar = kernel(rows, rows)
    own = similar.detach().diagonal()
    if not torch.allclose(own, torch.ones_like(own)):
        raise DataError(
            "The Vendi score needs a `kernel` that is 1 between a row and itself, but here "
            f"it lies between {float(own.min()):.4g} and {float(own.max()):.4g}. Divide it "
            "by the root of both rows' values."
        )
    return similar


FACTS = {
    "vendi_score": Facts(
        function=vendi_score,
        higher_is_better=True,
        bounds=(1.0, math.inf),
        reads_reference=False,
    )
}
