"""Activation maximisation: each sample is pushed to one class of real instances.

Players: G, the generator; D, the discriminator, with a logit per class and one for fakes.
Columns: x, what is generated; y, its label.
Source: Zhou et al. 2018, arXiv 1703.02000, which also defines LabelGAN, GAN* and AC-GAN* as
they are here, and the authors' code.
Differs: Adam has an epsilon inside its root. In GAN* and AC-GAN* the last logit is that of
fakes too, with its sign turned, so that all four objectives play the same networks.
"""

from typing import get_args, Literal

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


Objective = Literal["am", "label", "gan", "acgan"]


def amgan(
    generator: nn.Module,
    class_discriminator: nn.Module,
    *,
    n_classes: int,
    latent_dim: int = 100,
    objective: Objective = "am",
    predefined: bool = False,
    class_weight: float = 0.1,
    lr: float = 4e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator against a classifier with a class of fakes, or one of its rivals.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        class_discriminator: From samples or instances to `n_classes + 1` logits, the last
            of fakes.
        n_classes: Number of labels.
        latent_dim: Size of the whole latent, which is standard normal; if labels are
            predefined, its first `n_classes` numbers are the label's indicators.
        objective: `"am"`: a sample is to be its class; `"label"`: any class but that of
            fakes (LabelGAN); `"gan"` (GAN*) and `"acgan"` (AC-GAN*): real or fake, while D
            learns classes from instances beside, and in the latter G is told its own.
        predefined: Whether a sample's class is drawn with its latent; otherwise it is the
            one that D sees in it, the paper's dynamic labelling.
        class_weight: Factor of D's classes in `"gan"` and `"acgan"`.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If there is no such objective, or no room for the label in the latent.
    """
    if objective not in get_args(Objective) or (predefined and latent_dim < n_classes):
        raise GameError(
            f"`objective` must be one of {list(get_args(Objective))}, and a latent with a "
            f"predefined label hold its {n_classes} indicators, got {objective!r} and "
            f"latent_dim={latent_dim}."
        )
    binary = losses.adversarial("non_saturating")
    G, D = apply_of("G", generator), apply_of("D", class_discriminator)
    like = next(generator.parameters())

    def is_class(logits, labels):
        return cross_entropy(logits, labels, reduction="none")

    def is_real(logits):
        """The negative log-probability of any class but the last."""
        return logits.logsumexp(1) - logits[:, :-1].logsumexp(1)

    def loss_d(params, batch, noise, weights):
        both = D(params, torch.cat([batch["x"], G(params, noise["z"])]))
        real, fake = both[: len(batch)], both[len(batch) :]
        if objective in ("am", "label"):
            fakes = torch.full((len(fake),), n_classes, device=fake.device)
            of_real, of_fake = is_class(real, batch["y"]), is_class(fake, fakes)
        else:
            named = class_weight * is_class(real[:, :-1], batch["y"])
            of_real, of_fake = binary.real(-real[:, -1]) + named, binary.fake(-fake[:, -1])
        return wmean(of_real, weights) + of_fake.mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        logits = D(params, G(params, noise["z"]))
        classes = logits[:, :-1]
        aims = (noise["z"][:, :n_classes] if predefined else classes.detach()).argmax(1)
        if objective == "am":
            return is_class(logits, aims).mean()
        if objective == "label":
            return is_real(logits).mean()
        total = binary.generator(-logits[:, -1])
        if objective == "acgan":
            total = total + is_class(classes, aims)
        return total.mean()

    def draw(size, generator, params):
        del params
        z = torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)
        if predefined:
            labels = torch.randint(n_classes, (size,), generator=generator)
            z = torch.cat([one_hot(labels, n_classes).to(z), z[:, n_classes:]], 1)
        return {"z": z}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": class_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        labels="all",
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
