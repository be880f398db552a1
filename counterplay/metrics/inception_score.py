"""Inception score: whether a classifier is sure of each sample and sees all classes."""

import itertools
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics import _softmax
from counterplay.metrics._facts import Facts
from counterplay.typing import Scalar


def log_inception_score(logits: Float[Tensor, "m k"]) -> Scalar:
    """Mutual information between sample and class, the logarithm of the inception score.

    mean_i KL(p_i || mean p) = H(mean p) - mean_i H(p_i), with p_i the classifier's softmax.
    Higher is better, between 0 and log k, in nats. Biased downwards with fewer than some
    ten samples per class; blind to what is missing within a class. Cost O(m k).
    Source: Salimans et al. 2016, arXiv 1606.03498, section 4; unsplit.

    Args:
        logits: A classifier's logits of generated samples, one column per class; the result
            is differentiable in it.
    """
    log_p = _softmax.log_probabilities("logits", logits, minimum=2)
    return _softmax.divergence(log_p, _softmax.log_proportions(log_p)).mean()


def inception_score(logits: Float[Tensor, "m k"], *, n_splits: int = 1) -> Scalar:
    """Inception score: the exponential of `log_inception_score`.

    Higher is better, between 1 and the number of classes k, dimensionless. Splits lower it,
    as each has its own mean p; published values mostly have 50,000 samples in 10 splits.
    Source: Salimans et al. 2016, arXiv 1606.03498, section 4.

    Args:
        logits: A classifier's logits of generated samples, one column per class; the result
            is differentiable in it.
        n_splits: Number of consecutive parts of equal size, up to one row, whose scores are
            averaged.
    """
    return _scores(logits, n_splits).mean()


def inception_score_of_parts(
    logits: Float[Tensor, "m k"], *, n_splits: int = 10, seed: int | None = None
) -> tuple[float, float]:
    """Mean and standard deviation of the scores of parts, as papers print them.

    Args:
        logits: A classifier's logits of generated samples.
        n_splits: Number of consecutive parts of equal size, up to one row.
        seed: Puts rows into an order drawn by NumPy's legacy generator, so that 2020 gives
            the parts of torch-fidelity; by default they stay as they are.

    Returns:
        The mean, and the standard deviation of a population.
    """
    if seed is not None:
        order = np.random.RandomState(seed).permutation(len(logits))
        logits = logits[torch.from_numpy(order).to(logits.device)]
    scores = _scores(logits.detach(), n_splits)
    return float(scores.mean()), float(scores.std(correction=0))


def _scores(logits: Tensor, n_splits: int) -> Float[Tensor, " splits"]:
    """The scores of consecutive parts.

    Raises:
        DataError: If a part would have fewer than two rows.
    """
    if not 1 <= n_splits <= len(logits) // 2:
        raise DataError(
            f"`n_splits` is {n_splits}, but {len(logits)} samples make between 1 and "
            f"{len(logits) // 2} parts of at least two rows. Give fewer parts."
        )
    bounds = [len(logits) * i // n_splits for i in range(n_splits + 1)]
    parts = [logits[start:end] for start, end in itertools.pairwise(bounds)]
    return torch.stack([log_inception_score(part).exp() for part in parts])


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=True,
        bounds=(least, math.inf),
        needs="logits",
        minimum_samples=2,
        reads_reference=False,
    )
    for name, function, least in (
        ("inception_score", inception_score, 1.0),
        ("log_inception_score", log_inception_score, 0.0),
    )
}
