"""Class probabilities as logarithms, which keep what a softmax rounds to 0."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterplay.metrics._facts import checked


def log_probabilities(
    what: str, logits: Tensor, *, minimum: int = 1, width: int | None = None
) -> Float[Tensor, "n k"]:
    """A classifier's log-probabilities in float64, once its logits are `checked`."""
    return torch.log_softmax(checked(what, logits, minimum=minimum, width=width), dim=1)


def log_proportions(log_p: Float[Tensor, "n k"]) -> Float[Tensor, " k"]:
    """The logarithm of the mean probability of each class."""
    return torch.logsumexp(log_p, dim=0) - math.log(len(log_p))


def divergence(
    log_p: Float[Tensor, "... k"], log_q: Float[Tensor, "... k"]
) -> Float[Tensor, "..."]:
    """KL(p || q) over the last axis, in nats."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def entropy(log_p: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """Entropy over the last axis, in nats."""
    return -(log_p.exp() * log_p).sum(-1)
