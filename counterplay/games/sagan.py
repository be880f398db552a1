"""The self-attention GAN: classes, hinge losses and two learning rates.

Players: G, the generator, from latents and labels to samples; D, the discriminator of pairs
of an instance and a label, with logits that are high for real.
Columns: x, what is generated; y, its label.
Source: Zhang, Goodfellow, Metaxas and Odena 2019, arXiv 1805.08318; two learning rates as
in Heusel et al. 2017, arXiv 1706.08500.
Differs: beta2 is 0.9 as in the paper, where the authors' code leaves TensorFlow's 0.999; an
epsilon inside Adam's root. Self-attention, spectral normalisation and the product with an
embedding of the label are the networks' business; those called "sagan" have them.
"""

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def sagan(
    conditional_generator: nn.Module,
    conditional_discriminator: nn.Module,
    *,
    n_classes: int,
    latent_dim: int = 128,
    loss: losses.Family = "hinge",
    n_critic: int = 1,
    lr_g: float = 1e-4,
    lr_d: float = 4e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator of classes against a faster discriminator that knows the class.

    Args:
        conditional_generator: From latents and labels to samples.
        conditional_discriminator: From samples or instances and labels to one logit each.
        n_classes: Number of labels; those of samples are drawn uniformly.
        latent_dim: Size of the latent, which is standard normal.
        loss: Family of losses.
        n_critic: Moves of D for each move of G.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If D never moves.
    """
    if n_critic < 1:
        raise GameError(f"`n_critic` must be at least 1, got {n_critic!r}.")
    family = losses.adversarial(loss)
    G = apply_of("G", conditional_generator)
    D = apply_of("D", conditional_discriminator)
    like = next(conditional_generator.parameters())

    def loss_d(params, batch, noise, weights):
        x = torch.cat([batch["x"], G(params, noise["z"], noise["y"])])
        y = torch.cat([batch["y"], noise["y"]])
        real, fake = per_instance(D(params, x, y)).split([len(batch), len(noise["y"])])
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
        schedule=(("D",),) * n_critic + (("G",),),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"], noise["y"]),
        labels="all",
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
