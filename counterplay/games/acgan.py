"""The auxiliary classifier GAN: the discriminator also says which class it sees.

Players: G, the generator, from latents and labels to samples; D, the discriminator, from
samples and instances to a logit that is high for real and a logit per class.
Columns: x, what is generated; y, its label.
Source: Odena, Olah and Shlens 2017, arXiv 1610.09585, eq. 2 and 3.
Differs: the generator's part of the source is non-saturating. `class_weight` scales the
classes' part, which the paper leaves at 1; `classify_fakes=False` has D learn classes from
instances alone, which is AC-GAN* of Zhou et al. 2018, arXiv 1703.02000.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


def acgan(
    conditional_generator: nn.Module,
    auxiliary_discriminator: nn.Module,
    *,
    n_classes: int,
    latent_dim: int = 100,
    class_weight: float = 1.0,
    classify_fakes: bool = True,
    loss: losses.Family = "non_saturating",
    lr_g: float = 2e-4,
    lr_d: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator of classes against a discriminator that also tells them apart.

    Args:
        conditional_generator: From latents and labels to samples.
        auxiliary_discriminator: From samples or instances to `1 + n_classes` logits, the
            first high for real.
        n_classes: Number of labels.
        latent_dim: Size of the latent, which is standard normal.
        class_weight: Factor of the classes' part.
        classify_fakes: Whether D is also to recognise the class of samples.
        loss: Family of the losses of the first logit.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If `class_weight` is negative.
    """
    if class_weight < 0:
        raise GameError(f"`class_weight` must be at least 0, got {class_weight!r}.")
    family = losses.adversarial(loss)
    G = apply_of("G", conditional_generator)
    D = apply_of("D", auxiliary_discriminator)
    like = next(conditional_generator.parameters())

    def classes(logits, labels):
        return class_weight * cross_entropy(logits[:, 1:], labels, reduction="none")

    def loss_d(params, batch, noise, weights):
        fake = G(params, noise["z"], noise["y"])
        both = D(params, torch.cat([batch["x"], fake]))
        real, fake = both[: len(batch)], both[len(batch) :]
        of_real = family.real(real[:, 0]) + classes(real, batch["y"])
        of_fake = family.fake(fake[:, 0])
        if classify_fakes:
            of_fake = of_fake + classes(fake, noise["y"])
        return wmean(of_real, weights) + of_fake.mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        logits = D(params, G(params, noise["z"], noise["y"]))
        return (family.generator(logits[:, 0]) + classes(logits, noise["y"])).mean()

    def draw(size, generator, params):
        del params
        return {
            "z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype),
            "y": torch.randint(n_classes, (size,), generator=generator),
        }

    return Game(
        modules={"G": conditional_generator, "D": auxiliary_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={
            player: optim.adam(lr, betas=betas, eps_root=eps_root)
            for player, lr in {"G": lr_g, "D": lr_d}.items()
        },
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"], noise["y"]),
        labels="all",
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
