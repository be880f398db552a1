"""Penalties, mostly on the slope of a score, one value per instance.

Each is a pure function of a score function, so it can stand inside `torch.autograd.grad`,
inside `torch.func.grad` and under `torch.func.vmap` of it. The score must treat its rows
independently, and should be smooth: the penalty's own gradient needs its second derivative.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from counterplay.typing import PerInstance, Scalar, Tensors


Score = Callable[[Tensor], Tensor]  # inputs to one number each, high for real


def gradient_norm(score: Score, real: Tensor, fake: Tensor, mix: Tensor) -> PerInstance:
    """How far the slope of the score is from 1 between instances and samples.

    `(|grad score(point)| - 1)^2` at `point = mix * real + (1 - mix) * fake`, per pair. The
    norm has a kink at zero slope, where its derivative is taken as 0.
    Source: Gulrajani et al. 2017, arXiv 1704.00028, eq. 3.

    Args:
        score: The discriminator.
        real: Instances; the instance in row `i` owns the value in row `i`.
        fake: Samples, same shape.
        mix: One number in [0, 1] per row, shape `(n,)`.

    Returns:
        One penalty per instance; multiply by its coefficient.
    """
    mix = mix.reshape(-1, *(1,) * (real.dim() - 1))
    return (_root(_squared_slope(score, mix * real + (1 - mix) * fake)) - 1).square()


def r1(score: Score, real: Tensor) -> PerInstance:
    """The squared slope of the score at each instance, `|grad score(real)|^2`.

    Source: Mescheder et al. 2018, arXiv 1801.04406, eq. 9.

    Args:
        score: The discriminator.
        real: Instances.

    Returns:
        One penalty per instance; the paper multiplies by `gamma / 2`.
    """
    return _squared_slope(score, real)


def r2(score: Score, fake: Tensor) -> PerInstance:
    """The squared slope of the score at each sample, `|grad score(fake)|^2`.

    Source: Mescheder et al. 2018, arXiv 1801.04406, eq. 10.

    Args:
        score: The discriminator.
        fake: Samples.

    Returns:
        One penalty per sample; the paper multiplies by `gamma / 2`.
    """
    return _squared_slope(score, fake)


def dragan(score: Score, real: Tensor, noise: Tensor) -> PerInstance:
    """How far the slope of the score is from 1 around each instance.

    `(|grad score(real + noise)| - 1)^2`.
    Source: Kodali et al. 2017, arXiv 1705.07215.

    Args:
        score: The discriminator.
        real: Instances.
        noise: How far from each, same shape; the paper's is uniform and half a standard
            deviation of the data wide.

    Returns:
        One penalty per instance; the paper multiplies by 10.
    """
    return (_root(_squared_slope(score, real + noise)) - 1).square()


def consistency(score: Score, real: Tensor, changed: Tensor) -> PerInstance:
    """How much the score of an instance differs from that of what was made of it.

    Source: Zhang et al. 2020, arXiv 1910.12027.

    Args:
        score: The discriminator.
        real: Instances.
        changed: The same after an augmentation, such as `counterplay.augment` makes.

    Returns:
        One penalty per instance; the paper multiplies by 10.
    """
    difference = score(real) - score(changed)
    return difference.square()


def orthogonal(tensors: Tensors) -> Scalar:
    """How far the filters of every matrix are from being orthogonal to each other.

    The sum of the squared products of different rows; their lengths are free.
    Source: Brock, Donahue and Simonyan 2019, arXiv 1809.11096, eq. 3.

    Args:
        tensors: A player's, such as `params["G"]`; those of fewer than two axes are left
            out.

    Returns:
        The sum; the paper multiplies by 1e-4.
    """
    total = torch.zeros(())
    for tensor in tensors.values():
        if tensor.dim() > 1 and tensor.is_floating_point():
            rows = tensor.flatten(1)
            products = rows @ rows.T
            total = total + (products - products.diag().diag()).square().sum()
    return total


def _squared_slope(score: Score, x: Tensor) -> Tensor:
    # Rows are independent, so the gradient of the sum holds each row's own gradient.
    slope = torch.func.grad(lambda x: score(x).sum())(x)
    return slope.square().reshape(len(x), -1).sum(1)


def _root(square: Tensor) -> Tensor:
    # Both branches must be finite: the derivative of `where` multiplies the other one by 0.
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
