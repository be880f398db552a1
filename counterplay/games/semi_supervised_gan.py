"""The semi-supervised GAN: a classifier that learns from unlabelled data by a game.

Players: G, the generator; D, the classifier, whose logits say how real an input is, too.
Columns: x, what is generated; y, its label, or -1 where there is none.
Source: Salimans et al. 2016, arXiv 1606.03498, sections 3.1 and 5, and the authors' code.
Differs: labelled and unlabelled instances come in the same batches, where the authors draw
batches of either, so the labelled ones are weighted by `labelled_weight`.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, logsigmoid

from counterplay import optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import feature_matching, wmean


def semi_supervised_gan(
    generator: nn.Module,
    featured_classifier: nn.Module,
    *,
    n_classes: int,
    latent_dim: int = 100,
    labelled_weight: float = 1.0,
    unlabelled_weight: float = 1.0,
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator against a classifier that also has to know what is real.

    The classifier's probability that an input is real is `Z / (Z + 1)` with `Z` the sum of
    the exponentials of its logits, as if the logit of a further class, of fakes, were 0.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples whose features have the
            mean of the instances' (feature matching).
        featured_classifier: From samples or instances to `n_classes` logits and features.
        n_classes: Number of labels.
        latent_dim: Size of the latent, which is uniform on [0, 1].
        labelled_weight: Factor of the classes' part, averaged over the whole batch. The
            number of instances over that of labelled ones lets the labelled count as a
            batch of their own.
        unlabelled_weight: Factor of the part of the game, `w` in the authors' code.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of the classifier's moving average in its moves, or none.

    Returns:
        The game.

    Raises:
        GameError: If a weight is negative, or there are fewer than two classes.
    """
    if min(labelled_weight, unlabelled_weight) < 0 or n_classes < 2:
        raise GameError(
            "`labelled_weight` and `unlabelled_weight` must be at least 0 and `n_classes` "
            f"at least 2, got {labelled_weight!r}, {unlabelled_weight!r} and {n_classes!r}."
        )
    G, D = apply_of("G", generator), apply_of("D", featured_classifier)
    like = next(generator.parameters())

    def loss_d(params, batch, noise, weights):
        logits, _ = D(params, torch.cat([batch["x"], G(params, noise["z"])]))
        real, fake = logits[: len(batch)], logits[len(batch) :]
        # Instances without a label have the target that cross-entropy leaves out, at 0.
        named = cross_entropy(real, batch["y"], ignore_index=-1, reduction="none")
        as_real = -logsigmoid(real.logsumexp(1))
        as_fake = -logsigmoid(-fake.logsumexp(1))
        of_real = labelled_weight * named + unlabelled_weight * as_real / 2
        return wmean(of_real, weights) + unlabelled_weight * as_fake.mean() / 2

    def loss_g(params, batch, noise, weights):
        _, features = D(params, torch.cat([batch["x"], G(params, noise["z"])]))
        real, fake = features[: len(batch)], features[len(batch) :]
        return feature_matching(real, fake, weights)

    def draw(size, generator, params):
        del params
        return {"z": torch.rand(size, latent_dim, generator=generator, dtype=like.dtype)}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": featured_classifier},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        classify=lambda params, x: D.evaluated(params, x)[0],
        labels="some",
        readers=("D", "G"),
        averages={} if ema_halflife is None else {"D": ema_halflife},
    )
