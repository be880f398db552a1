"""The self-supervised GAN as a multi-class game: turned samples are a class of their own.

Players: G, the generator; D, the discriminator, with a logit that is high for real, one for
each number of quarter turns of an instance, and one for turned samples.
Columns: x, what is generated: square images, or points of the plane.
Source: Tran et al. 2019, arXiv 1911.06997, and the authors' code.
Differs: it stands on an ordinary GAN, where the authors take their Dist-GAN, here `gaan`.
Samples are turned before D classes them, as the paper has it; the code leaves
them upright. Each instance and sample is turned once in a move.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from counterplay import augment, losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


def msgan(
    generator: nn.Module,
    task_discriminator: nn.Module,
    *,
    latent_dim: int = 128,
    n_tasks: int = 5,
    weight_g: float = 0.1,
    weight_d: float = 0.5,
    loss: losses.Family = "hinge",
    n_critic: int = 1,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator whose turned samples must pass for turned instances.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        task_discriminator: From samples or instances to `1 + n_tasks` logits, the first
            high for real, the last for turned samples.
        latent_dim: Size of the latent, which is standard normal.
        n_tasks: Classes of the task: four numbers of quarter turns, and samples.
        weight_g: Factor of the task in G's loss, `lambda_g` in the paper.
        weight_d: Factor of the task in D's loss, `lambda_d`.
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
    if n_tasks != 5 or n_critic < 1 or min(weight_g, weight_d) < 0:
        raise GameError(
            "`n_tasks` must be 5, `n_critic` at least 1 and the weights at least 0, got "
            f"{n_tasks!r}, {n_critic!r}, {weight_g!r} and {weight_d!r}."
        )
    family = losses.adversarial(loss)
    G, D = apply_of("G", generator), apply_of("D", task_discriminator)
    like = next(generator.parameters())

    def task(logits, classes):
        return cross_entropy(logits[:, 1:], classes, reduction="none")

    def judged(params, *inputs):
        return D(params, torch.cat(inputs)).split(len(inputs[0]))

    def loss_d(params, batch, noise, weights):
        x, fake, turns = batch["x"], G(params, noise["z"]), noise["turns"]
        turned = augment.turned(x, turns), augment.turned(fake, turns)
        real, fake, real_turned, fake_turned = judged(params, x, fake, *turned)
        # One class of five is that of samples.
        of_real = family.real(real[:, 0]) + 0.8 * weight_d * task(real_turned, turns)
        as_samples = task(fake_turned, torch.full_like(turns, 4))
        of_fake = family.fake(fake[:, 0]) + 0.2 * weight_d * as_samples
        return wmean(of_real, weights) + of_fake.mean()

    def loss_g(params, batch, noise, weights):
        fake, turns = G(params, noise["z"]), noise["turns"]
        turned = augment.turned(batch["x"], turns), augment.turned(fake, turns)
        fake, real_turned, fake_turned = judged(params, fake, *turned)
        gap = task(fake_turned, turns).mean() - wmean(task(real_turned, turns), weights)
        return family.generator(fake[:, 0]).mean() + weight_g * gap.abs()

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
        readers=("D", "G"),
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
