"""Pieces of adversarial losses, one value per instance, and the mean that joins them.

Logits and scores are high for real, in every family.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from counterplay.errors import GameError
from counterplay.typing import Scalar, Weights


Family = Literal[
    "minimax",
    "non_saturating",
    "least_squares",
    "hinge",
    "wasserstein",
    "kl",
    "reverse_kl",
    "pearson",
    "neyman",
    "squared_hellinger",
]
Relation = Literal["paired", "average"]
LIMIT = 4.0  # the logit beyond which f-divergences go on in a straight line
Score = Callable[[Tensor], Tensor]  # inputs to one number each


def wmean(values: Tensor, weights: Weights) -> Scalar:
    """The weighted mean with a fixed denominator, `sum(weights * values) / len(values)`.

    The division is by the number of instances, never by the sum of the weights, so that
    leaving one out changes no other's share.

    Args:
        values: One loss per instance, shape `(batch,)`.
        weights: One weight per instance; 1 is ordinary training.

    Returns:
        The mean, a scalar.

    Raises:
        GameError: If there are no instances, or not one value per weight.
    """
    if values.shape != weights.shape:
        raise GameError(
            f"A loss has values of shape {tuple(values.shape)} for weights of shape "
            f"{tuple(weights.shape)}; multiplied, they would mix the instances. Return one "
            "value per instance."
        )
    if len(values) == 0:
        raise GameError(
            "A loss averages over no instances: a move reads a batch only if one of its "
            "players is in `readers`. Name the player there, or leave the batch out of its "
            "loss."
        )
    return torch.dot(weights, values) / len(values)


def per_instance(logits: Tensor) -> Tensor:
    """The logits as shape `(n,)`; `(n, 1)` and the like lose their axes of length 1.

    Args:
        logits: The output of a discriminator, one number per row.

    Returns:
        The same numbers, shape `(n,)`.

    Raises:
        GameError: If a row has more than one number.
    """
    if logits.dim() == 0 or logits.shape[1:].numel() != 1:
        raise GameError(
            f"A discriminator returned shape {tuple(logits.shape)}; a loss needs one "
            "number per instance, shape (n,) or (n, 1). Average them inside the network."
        )
    return logits if logits.dim() == 1 else logits.reshape(len(logits))


def scores(score: Score, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of real instances and of fakes, from one call on both.

    Args:
        score: The discriminator, which must treat its rows independently.
        real: Instances.
        fake: Samples, of the same shape but for the first axis.

    Returns:
        One number per instance, and one per sample.

    Raises:
        GameError: If instances and samples differ in shape.
    """
    if real.shape[1:] != fake.shape[1:]:
        raise GameError(
            f"The generator's samples have shape {tuple(fake.shape[1:])}, but the "
            f"instances have {tuple(real.shape[1:])}. Change the generator's output, or "
            "reshape the data."
        )
    of_real, of_fake = per_instance(score(torch.cat([real, fake]))).split(
        [len(real), len(fake)]
    )
    return of_real, of_fake


def feature_matching(
    real: Float[Tensor, "batch d"], fake: Float[Tensor, "m d"], weights: Weights
) -> Scalar:
    """How far the mean features of samples are from those of instances, for a generator.

    The squared difference, averaged over features.
    Source: Salimans et al. 2016, arXiv 1606.03498, section 3.1, which sums over features.

    Args:
        real: A hidden layer of the discriminator for the instances.
        fake: The same for samples.
        weights: One weight per instance; their mean has a fixed denominator.

    Returns:
        The loss, a scalar.
    """
    return (weights @ real / len(real) - fake.mean(0)).square().mean()


@dataclass(frozen=True)
class Adversarial:
    """A family of adversarial losses, each from logits to one value per instance or sample.

    Attributes:
        name: The family.
        real: What the discriminator minimises on real instances.
        fake: What the discriminator minimises on fakes.
        generator: What the generator minimises on fakes.
    """

    name: Family
    real: Score
    fake: Score
    generator: Score

    def discriminator(self, real: Tensor, fake: Tensor, weights: Weights) -> Scalar:
        """The discriminator's loss, from the logits of instances and of samples."""
        return wmean(self.real(real), weights) + self.fake(fake).mean()


def adversarial(
    name: Family | str, *, real_target: float = 1.0, real_share: float = 0.5
) -> Adversarial:
    """The loss family called `name`.

    `minimax` and `non_saturating` share the discriminator's cross-entropy (nats); with a
    confident discriminator the generator of the first has no gradient left. `hinge` has
    kinks at logits -1 and 1, where the effect of one instance can jump; the others are
    smooth. `wasserstein` is a distance only for a discriminator of bounded slope: add a
    gradient penalty or spectral normalisation.

    The other five take the discriminator of the cross-entropy for `log(p / q)`, the ratio
    `r` of the densities of instances and samples, and have the generator reduce an
    f-divergence between them, by the gradient of `f(r) - r f'(r)`: KL(p, q) covers all
    instances, KL(q, p) prefers likely samples. Beyond a logit of 4 each goes on in a
    straight line, since powers of the ratio have heavy tails. They need a discriminator
    that has learnt enough to be a ratio: several moves for each of the generator, no
    smoothing, no penalty.

    Source: Goodfellow et al. 2014 (arXiv 1406.2661, eq. 1 and section 3); Mao et al. 2017
    (arXiv 1611.04076, eq. 9: targets 0, 1, 1); Lim and Ye 2017 (arXiv 1705.02894);
    Arjovsky et al. 2017 (arXiv 1701.07875); Poole, Alemi, Sohl-Dickstein and Angelova 2016
    (arXiv 1612.02780) for the f-divergences; Salimans et al. 2016 (arXiv 1606.03498,
    section 3.4) for `real_target`; Creswell and Bharath 2016 (arXiv 1609.08661) for
    `real_share`.

    Args:
        name: The family.
        real_target: What the discriminator is to say of an instance, 1 for "real";
            0.9 is one-sided label smoothing. Of a fake it is always to say "fake".
        real_share: How much instances count in the discriminator's loss against fakes.
            With the minimax loss, a small share makes the generator cover all instances,
            and a large one makes it keep to the likely ones.

    Returns:
        Its three functions.

    Raises:
        GameError: If there is no such family, or a number is not between 0 and 1.
    """
    if name not in _FAMILIES:
        raise GameError(f"There is no loss {name!r}; there are {list(get_args(Family))}.")
    if not 0 < real_target <= 1 or not 0 < real_share < 1:
        raise GameError(
            "`real_target` must be in (0, 1] and `real_share` in (0, 1), got "
            f"real_target={real_target!r} and real_share={real_share!r}."
        )
    family = _FAMILIES[name]
    if real_target == 1 and real_share == 0.5:
        return family
    target, share = real_target, 2 * real_share
    return replace(
        family,
        real=lambda t: share * (target * family.real(t) + (1 - target) * family.fake(t)),
        fake=lambda t: (2 - share) * family.fake(t),
    )


@dataclass(frozen=True)
class Relativistic:
    """What each player minimises, from the logits of instances and of samples together.

    Attributes:
        discriminator: The discriminator's loss.
        generator: The generator's, which reads the instances too.
        couples_instances: Whether the logit of an instance enters the terms of others.
    """

    discriminator: Callable[[Tensor, Tensor, Weights], Scalar]
    generator: Callable[[Tensor, Tensor, Weights], Scalar]
    couples_instances: bool


def relativistic(family: Adversarial, relation: Relation | str) -> Relativistic:
    """The losses of a family, of how much more real instances are than samples.

    With `f` what the family's discriminator minimises on instances, D minimises
    `f(real - fake)` and G `f(fake - real)`; G of `minimax` minimises minus D's loss. Adding
    a number to all logits changes neither. `"paired"` takes instance and sample from the
    same row. `"average"` compares each instance with the mean logit of the samples and each
    sample with that of the instances, and adds both terms.

    A weight scales the term of its instance. The mean logit of the instances is divided by
    the sum of their weights: it is what samples are compared with, not a sum of losses, and
    under a fixed denominator an instance at weight 0 would count as one with logit 0.
    Least squares has the targets 1 and -1 here.

    Source: Jolicoeur-Martineau 2018, arXiv 1807.00734; for `"paired"` also Huang, Gokaslan,
    Kuleshov and Tompkin 2024, arXiv 2501.05441 (R3GAN), which adds R1 and R2.

    Args:
        family: The family, without smoothing or shares; f-divergences have no such form.
        relation: What a logit is compared with.

    Returns:
        The losses of both players.

    Raises:
        GameError: If there is no such loss or relation.
    """
    if family not in _RELATIVE or relation not in get_args(Relation):
        raise GameError(
            f"The loss {family.name!r} has no relativistic form {relation!r}: there are "
            f"{list(get_args(Relation))} of {[each.name for each in _RELATIVE]}, with "
            "`real_target` at 1 and `real_share` at 0.5, as differences are judged."
        )
    of_d = family.real
    of_g = (lambda more: -of_d(-more)) if family.name == "minimax" else of_d
    if relation == "paired":
        return Relativistic(
            lambda real, fake, weights: wmean(of_d(real - fake), weights),
            lambda real, fake, weights: wmean(of_g(fake - real), weights),
            couples_instances=False,
        )

    def discriminator(real: Tensor, fake: Tensor, weights: Weights) -> Scalar:
        of_samples = of_d(_weighted_mean(real, weights) - fake).mean()
        return wmean(of_d(real - fake.mean()), weights) + of_samples

    def generator(real: Tensor, fake: Tensor, weights: Weights) -> Scalar:
        of_samples = of_g(fake - _weighted_mean(real, weights)).mean()
        return wmean(of_g(fake.mean() - real), weights) + of_samples

    return Relativistic(discriminator, generator, couples_instances=True)


def _weighted_mean(values: Tensor, weights: Weights) -> Scalar:
    """The mean by weights, or 0 where there are none."""
    total = weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return torch.dot(weights, values) / total


def _divergence(name: Family, power: float, factor: float) -> Adversarial:
    """A generator that reduces `factor * r ** power` on its samples; the log at power 0."""

    def generator(logits: Tensor) -> Tensor:
        if power == 0:
            return factor * logits
        near = logits.clamp(-LIMIT, LIMIT)
        value = factor * (power * near).exp()
        return value * (1 + power * (logits - near))

    return replace(_FAMILIES["minimax"], name=name, generator=generator)


# Not `softplus`: PyTorch's becomes a straight line at 20, where its derivative jumps by
# 2e-9, enough to be seen in float64.
_FAMILIES = {
    "minimax": Adversarial(
        "minimax",
        real=lambda logits: -logsigmoid(logits),
        fake=lambda logits: -logsigmoid(-logits),
        generator=lambda logits: logsigmoid(-logits),
    ),
    "non_saturating": Adversarial(
        "non_saturating",
        real=lambda logits: -logsigmoid(logits),
        fake=lambda logits: -logsigmoid(-logits),
        generator=lambda logits: -logsigmoid(logits),
    ),
    "least_squares": Adversarial(
        "least_squares",
        real=lambda logits: (logits - 1).square() / 2,
        fake=lambda logits: logits.square() / 2,
        generator=lambda logits: (logits - 1).square() / 2,
    ),
    "hinge": Adversarial(
        "hinge",
        real=lambda logits: relu(1 - logits),
        fake=lambda logits: relu(1 + logits),
        generator=lambda logits: -logits,
    ),
    "wasserstein": Adversarial(
        "wasserstein",
        real=lambda logits: -logits,
        fake=lambda logits: logits,
        generator=lambda logits: -logits,
    ),
}
_RELATIVE = tuple(_FAMILIES.values())  # so far
# h(r) = f(r) - r f'(r), but for constants.
_FAMILIES |= {
    "kl": _divergence("kl", 1.0, -1.0),
    "reverse_kl": _divergence("reverse_kl", 0.0, -1.0),
    "pearson": _divergence("pearson", 2.0, -1.0),
    "neyman": _divergence("neyman", -1.0, 2.0),
    "squared_hellinger": _divergence("squared_hellinger", 0.5, -1.0),
}
