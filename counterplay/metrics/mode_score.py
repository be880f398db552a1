"""Mode scores: two formulas of that name, one of which is the inception score."""

import math

from jaxtyping import Float
from torch import Tensor

from counterplay.metrics import _softmax
from counterplay.metrics._facts import Facts
from counterplay.typing import Scalar


def mode_score(real: Float[Tensor, "n k"], fake: Float[Tensor, "m k"]) -> Scalar:
    """Mode score as first published, which is the inception score whatever the data are.

    exp(mean_i KL(p_i || q) - KL(mean p || q)), with p_i the classifier's softmax of fake
    rows and q its mean on real ones. Both terms hold the same cross entropy with q, so q
    cancels: use `inception_score`, and this only to check a program against a published
    value. Higher is better, between 1 and the number of classes, dimensionless. Cost O((n +
    m) k).
    Source: Che et al. 2017, arXiv 1612.02136, as in Zhou et al. 2018, arXiv 1703.02000,
    equation 23; that it is the inception score, equations 25 and 26 there.

    Args:
        real: A classifier's logits of real data.
        fake: Logits of generated samples; the result is differentiable in it.
    """
    log_q, log_p = _read(real, fake)
    spread = _softmax.divergence(log_p, log_q).mean()
    return (spread - _softmax.divergence(_softmax.log_proportions(log_p), log_q)).exp()


def mode_score_penalised(real: Float[Tensor, "n k"], fake: Float[Tensor, "m k"]) -> Scalar:
    """Inception score, lowered by how far the classes of samples are from the data's.

    exp(mean_i KL(p_i || mean p) - KL(mean p || q)) = inception score * exp(-KL(mean p ||
    q)), symbols as in `mode_score`. Higher is better, between 0 and the number of classes,
    dimensionless. Blind to what is missing within a class. Cost O((n + m) k).
    Source: Xu et al. 2018, arXiv 1806.07755, under the name of mode score.

    Args:
        real: A classifier's logits of real data.
        fake: Logits of generated samples; the result is differentiable in both.
    """
    log_q, log_p = _read(real, fake)
    log_mean = _softmax.log_proportions(log_p)
    information = _softmax.divergence(log_p, log_mean).mean()
    return (information - _softmax.divergence(log_mean, log_q)).exp()


def _read(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Log-proportions of the real classes, and log-probabilities of the fake rows."""
    log_q = _softmax.log_probabilities("real", real)
    log_p = _softmax.log_probabilities("fake", fake, minimum=2, width=log_q.shape[1])
    return _softmax.log_proportions(log_q), log_p


FACTS = {
    name: Facts(
        function=function,
        higher_is_better=True,
        bounds=(least, math.inf),
        needs="logits",
        minimum_samples=2,
    )
    for name, function, least in (
        ("mode_score", mode_score, 1.0),
        ("mode_score_penalised", mode_score_penalised, 0.0),
    )
}
