"""AM score: whether a classifier is sure of each sample and sees the data's classes."""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from counterplay.metrics import _softmax
from counterplay.metrics._facts import Facts
from counterplay.typing import Scalar


class AMParts(NamedTuple):
    """The two terms of an AM score, in nats."""

    divergence: Scalar  # KL(mean p_real || mean p_fake): are the classes those of the data
    entropy: Scalar  # mean_i H(p_i): is the classifier unsure of single samples


def am_score(real: Float[Tensor, "n k"], fake: Float[Tensor, "m k"]) -> Scalar:
    """AM score: how far the classes of samples are from the data's, plus doubt per sample.

    KL(mean_i q_i || mean_i p_i) + mean_i H(p_i), with q_i and p_i the classifier's softmax
    of real and fake rows. Lower is better, at least 0, in nats. Real data score the
    classifier's own doubt, so compare only under one classifier, trained on this data but
    not on `real`. Blind to what is missing within a class. Cost O((n + m) k).
    Source: Zhou et al. 2018, arXiv 1703.02000 (AM score).

    Args:
        real: A classifier's logits of real data, which give the reference's mean softmax.
        fake: Logits of generated samples; the result is differentiable in both.
    """
    divergence, entropy = am_score_parts(real, fake)
    return divergence + entropy


def am_score_parts(real: Float[Tensor, "n k"], fake: Float[Tensor, "m k"]) -> AMParts:
    """The two terms whose sum is `am_score`, for reports.

    Args:
        real: A classifier's logits of real data.
        fake: Logits of generated samples.
    """
    log_q = _softmax.log_probabilities("real", real)
    log_p = _softmax.log_probabilities("fake", fake, width=log_q.shape[1])
    return AMParts(
        _softmax.divergence(
            _softmax.log_proportions(log_q), _softmax.log_proportions(log_p)
        ),
        _softmax.entropy(log_p).mean(),
    )


FACTS = {
    "am_score": Facts(
        function=am_score, higher_is_better=False, bounds=(0.0, math.inf), needs="logits"
    )
}
