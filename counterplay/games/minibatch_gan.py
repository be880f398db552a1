"""Minibatch discrimination: the discriminator sees how alike the rows of a batch are.

Players: G, the generator; D, the discriminator of batches, with logits that are high for
real.
Columns: x, what is generated.
Source: Salimans et al. 2016, arXiv 1606.03498, section 3.2.
Differs: the usual Gaussian latents, and an epsilon inside Adam's root. Instances are told
from samples one by one but seen beside the other instances, so the game couples them: each
is seen by the others by its weight.
"""

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance


def minibatch_gan(
    generator: nn.Module,
    minibatch_discriminator: nn.Module,
    *,
    latent_dim: int = 100,
    loss: losses.Family = "non_saturating",
    real_target: float = 1.0,
    lr_g: float = 3e-4,
    lr_d: float = 3e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator against a discriminator that would notice too little variety.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        minibatch_discriminator: From samples or instances and their weights, shape `(n,)`,
            to one logit each; a row of weight 0 must not change the logits of others.
        latent_dim: Size of the latent, which is standard normal.
        loss: Family of losses.
        real_target: What D is to say of an instance; 0.9 is one-sided label smoothing.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.
    """
    family = losses.adversarial(loss, real_target=real_target)
    G, D = apply_of("G", generator), apply_of("D", minibatch_discriminator)
    like = next(generator.parameters())

    def judged(params, x, weights):
        return per_instance(D(params, x, weights))

    def loss_d(params, batch, noise, weights):
        of_real = judged(params, batch["x"], weights)
        of_fake = judged(params, G(params, noise["z"]), torch.ones_like(weights))
        return family.discriminator(of_real, of_fake, weights)

    def loss_g(params, batch, noise, weights):
        del batch, weights
        fake = G(params, noise["z"])
        return family.generator(judged(params, fake, fake.new_ones(len(fake)))).mean()

    def draw(size, generator, params):
        del params
        return {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}

    return Game(
        modules={"G": generator, "D": minibatch_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={
            player: optim.adam(lr, betas=betas, eps_root=eps_root)
            for player, lr in {"G": lr_g, "D": lr_d}.items()
        },
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
        couples_instances=True,  # by their weights
    )
