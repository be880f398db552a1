"""The conditional GAN: generator and discriminator are told the class.

Players: G, the generator, from latents and labels to samples; D, the discriminator of pairs
of an instance and a label, with logits that are high for real.
Columns: x, what is generated; y, its label.
Source: Mirza and Osindero 2014, arXiv 1411.1784, eq. 2.
Differs: the labels of samples are drawn uniformly, not from the data, so that no instance
stands behind a sample; G's loss is non-saturating by default; Adam instead of SGD with
momentum, with an epsilon inside its root.
"""

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def cgan(
    conditional_generator: nn.Module,
    conditional_discriminator: nn.Module,
    *,
    n_classes: int,
    latent_dim: int = 100,
    loss: losses.Family = "non_saturating",
    lr_g: float = 2e-4,
    lr_d: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator of classes against a discriminator that knows the class.

    Args:
        conditional_generator: From latents and labels to samples.
        conditional_discriminator: From samples or instances and labels to one logit each.
        n_classes: Number of labels.
        latent_dim: Size of the latent, which is standard normal.
        loss: Family of losses.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.
    """
    family = losses.adversarial(loss)
    G = apply_of("G", conditional_generator)
    D = apply_of("D", conditional_discriminator)
    like = next(conditional_generator.parameters())

    def loss_d(params, batch, noise, weights):
        fake, labels = G(params, noise["z"], noise["y"]), noise["y"]
        both = torch.cat([batch["x"], fake]), torch.cat([batch["y"], labels])
        logits = per_instance(D(params, *both))
        real, fake = logits[: len(batch)], logits[len(batch) :]
        return wmean(family.real(real), weights) + family.fake(fake).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        logits = D(params, G(params, noise["z"], noise["y"]), noise["y"])
        return family.generator(per_instance(logits)).mean()

    def draw(size, generator, params):
        del params
        return {
            "z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype),
            "y": torch.randint(n_classes, (size,), generator=generator),
        }

    return Game(
        modules={"G": conditional_generator, "D": conditional_discriminator},
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
