"""Inception score: whether a classifier is sure of each sample and sees all classes."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.errors import DataError
from counterplay.metrics._facts import checked, Facts
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

    Returns:
        The score, in nats.
    """
    rows = checked("logits", logits, minimum=2)
    log_p = torch.log_softmax(rows, dim=1)
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(len(rows))
    return (log_p.exp() * (log_p - log_mean)).sum(1).mean()


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

    Returns:
        The mean score of the parts.

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
    return torch.stack([log_inception_score(part).exp() for part in parts]).mean()


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
