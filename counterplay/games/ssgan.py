"""The self-supervised GAN: the discriminator also tells by how much an image is turned.

Players: G, the generator; D, the discriminator, with a logit that is high for real and one
for each number of quarter turns.
Columns: x, what is generated: square images, or points of the plane.
Source: Chen et al. 2019, arXiv 1811.11212, section 3.
Differs: each instance and each sample is turned once in a move, by a number of quarters of
its own, where the authors turn a part of the batch by all four.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from counterplay import augment, losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


def ssgan(
    generator: nn.Module,
    task_discriminator: nn.Module,
    *,
    latent_dim: int = 128,
    n_tasks: int = 4,
    weight_g: float = 0.2,
    weight_d: float = 1.0,
    loss: losses.Family = "hinge",
    n_critic: int = 1,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator against a discriminator with a task of its own.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        task_discriminator: From samples or instances to `1 + n_tasks` logits, the first
            high for real.
        latent_dim: Size of the latent, which is standard normal.
        n_tasks: Numbers of quarter turns to tell apart, 4.
        weight_g: Factor of the task on turned samples in G's loss, `alpha` in the paper.
        weight_d: Factor of the task on turned instances in D's loss, `beta`.
        loss: Family of losses of the first logit.
        n_critic: Moves of D for each move of G.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If a number makes no sense.
    """
    if n_tasks != 4 or n_critic < 1 or min(weight_g, weight_d) < 0:
        raise GameError(
            "`n_tasks` must be 4, `n_critic` at least 1 and the weights at least 0, got "
            f"{n_tasks!r}, {n_critic!r}, {weight_g!r} and {weight_d!r}."
        )
    family = losses.adversarial(loss)
    G, D = apply_of("G", generator), apply_of("D", task_discriminator)
    like = next(generator.parameters())

    def task(logits, turns):
        return cross_entropy(logits[:, 1:], turns, reduction="none")

    def loss_d(params, batch, noise, weights):
        x, turns = batch["x"], noise["turns"]
        inputs = torch.cat([x, G(params, noise["z"]), augment.turned(x, turns)])
        real, fake, turned = D(params, inputs).split(len(x))
        of_real = family.real(real[:, 0]) + weight_d * task(turned, turns)
        return wmean(of_real, weights) + family.fake(fake[:, 0]).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        fake, turns = G(params, noise["z"]), noise["turns"]
        logits = D(params, torch.cat([fake, augment.turned(fake, turns)]))
        upright, turned = logits.split(len(fake))
        return (family.generator(upright[:, 0]) + weight_g * task(turned, turns)).mean()

    def draw(size, generator, params):
        del params
        return {
            "z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype),
            "turns": torch.randint(4, (size,), generator=generator),
        }

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": task_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",),) * n_critic + (("G",),),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
