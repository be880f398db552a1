"""Class-aware Frechet distance: how far the features of each class are apart."""

import math

from jaxtyping import Float
from torch import Tensor

from counterplay.metrics import _classes, _softmax
from counterplay.metrics._classes import ClassMoments
from counterplay.metrics._facts import Classified, Facts
from counterplay.typing import Scalar


def class_aware_frechet(real: ClassMoments | Classified, fake: Classified) -> Scalar:
    """Class-aware Frechet distance: the mean over classes of their Frechet distances.

    Row i counts in class k with weight p_ik / sum_i p_ik, p being the classifier's softmax;
    the Gaussian of a class has the weighted mean and the biased weighted covariance of the
    features. All classes count the same, so read it beside `class_proportions_kl`, and with
    its value for real data against real data. Lower is better, at least 0, in squared
    feature units. Biased upwards, and more than a Frechet distance, as a class has fewer
    rows: compare only at equal m. Cost O(k m d^2).
    Source: Liu et al. 2018, arXiv 1803.07474 (CAFD).

    Args:
        real: Features and logits of real data, or prepared moments of them; a constant.
        fake: Features and logits of generated data; the result is differentiable in both.
    """
    known = real if isinstance(real, ClassMoments) else _classes.class_moments(real)
    return _classes.distances(known, _classes.weighted("fake", fake, like=known)).mean()


def class_proportions_kl(real: Float[Tensor, "n k"], fake: Float[Tensor, "m k"]) -> Scalar:
    """How far the class proportions of samples are from the data's.

    KL(mean_i q_i || mean_i p_i), with q_i and p_i the classifier's softmax of real and fake
    rows. Lower is better, at least 0, in nats; large where fake rows miss a class. Cost
    O((n + m) k).
    Source: Liu et al. 2018, arXiv 1803.07474.

    Args:
        real: A classifier's logits of real data, the first argument of the divergence.
        fake: Logits of generated samples; the result is differentiable in both.
    """
    log_q = _softmax.log_probabilities("real", real)
    log_p = _softmax.log_probabilities("fake", fake, width=log_q.shape[1])
    return _softmax.divergence(
        _softmax.log_proportions(log_q), _softmax.log_proportions(log_p)
    )


FACTS = {
    "class_aware_frechet": Facts(
        class_aware_frechet,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        needs="classified",
        minimum_samples=2,
        prepare=_classes.class_moments,
    ),
    "class_proportions_kl": Facts(
        class_proportions_kl,
        higher_is_better=False,
        bounds=(0.0, math.inf),
        needs="logits",
    ),
}
