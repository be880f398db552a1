"""The Wasserstein GAN with gradient penalty.

Players: G, the generator; D, the critic, whose score is high for real.
Columns: x, what is generated.
Source: Gulrajani et al. 2017, arXiv 1704.00028, algorithm 1 and eq. 3.
Differs: Adam has an epsilon inside its root, which smooths its step.
"""

import torch
from torch import nn

from counterplay import losses, optim, penalties
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def wgan_gp(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 128,
    n_critic: int = 5,
    penalty: float = 10.0,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator against a critic with slopes near 1.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        discriminator: The critic, from samples or instances to one score each. Batch norm
            is not possible in it, nor sensible: the penalty is one per instance.
        latent_dim: Size of the latent, which is standard normal.
        n_critic: Moves of D for each move of G.
        penalty: Factor of the gradient penalty, `lambda` in the paper.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If `n_critic` or `penalty` makes no sense.
    """
    if n_critic < 1 or penalty < 0:
        raise GameError(
            "`n_critic` must be at least 1 and `penalty` at least 0, got "
            f"n_critic={n_critic!r} and penalty={penalty!r}."
        )
    G, D = apply_of("G", generator), apply_of("D", discriminator)
    like = next(generator.parameters())

    def loss_d(params, batch, noise, weights):
        def score(x):
            return per_instance(D(params, x))

        real, fake = batch["x"], G(params, noise["z"])
        of_real, of_fake = losses.scores(score, real, fake)
        # A point between an instance and a sample belongs to the instance's weight.
        slope = penalties.gradient_norm(score, real, fake, noise["mix"])
        return of_fake.mean() + wmean(penalty * slope - of_real, weights)

    def loss_g(params, batch, noise, weights):
        del batch, weights
        return -per_instance(D(params, G(params, noise["z"]))).mean()

    def draw(size, generator, params):
        del params
        return {
            "z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype),
            "mix": torch.rand(size, generator=generator, dtype=like.dtype),
        }

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",),) * n_critic + (("G",),),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
