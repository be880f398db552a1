"""Augmentation for GANs: a head of the discriminator for each change of the data.

Players: G, the generator; D, the discriminator, with one logit for data as they are and one
for each change, all high for real.
Columns: x, what is generated: images, or points of the plane for quarter turns.
Source: Tran et al. 2021, arXiv 2006.05338, and the authors' code.
Differs: nothing; of the two layouts of heads in the authors' code this is the one in which
no change has a head of its own beside that of the game. Each head compares instances and
samples after the same change, so the generator learns nothing of the change itself.
"""

from collections.abc import Sequence

import torch
from torch import nn

from counterplay import augment, losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


def dag(
    generator: nn.Module,
    headed_discriminator: nn.Module,
    *,
    latent_dim: int = 128,
    policies: Sequence[str] = ("rotation",),
    n_changes: int = 4,
    weight_g: float = 0.2,
    weight_d: float = 0.2,
    loss: losses.Family = "non_saturating",
    n_critic: int = 1,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.9),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator against a discriminator of changed data.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        headed_discriminator: From samples or instances to `1 + n_changes` logits.
        latent_dim: Size of the latent, which is standard normal.
        policies: Names of groups of changes; see `counterplay.augment.policy`.
        n_changes: How many changes they have in all.
        weight_g: Factor of each policy's mean in G's loss, `lambda_v` in the paper.
        weight_d: Factor of each policy's mean in D's loss, `lambda_u`.
        loss: Family of losses of every head.
        n_critic: Moves of D for each move of G.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If the changes are not `n_changes`, or a number makes no sense.
    """
    changes = [
        (change, 1 / len(group))
        for group in map(augment.policy, policies)
        for change in group
    ]
    if n_changes != len(changes) or n_critic < 1 or min(weight_g, weight_d) < 0:
        raise GameError(
            f"The policies {list(policies)} have {len(changes)} changes, so `n_changes` "
            "must be that, `n_critic` at least 1 and the weights at least 0, got "
            f"{n_changes!r}, {n_critic!r}, {weight_g!r} and {weight_d!r}."
        )
    family = losses.adversarial(loss)
    G, D = apply_of("G", generator), apply_of("D", headed_discriminator)
    like = next(generator.parameters())

    def judged(params, *data):
        """Per head, its factor and its logits of all data after its change."""
        heads = [(lambda x: x, 1.0), *changes]
        inputs = torch.cat([change(x) for change, _ in heads for x in data])
        logits = D(params, inputs).view(len(heads), -1, len(heads))
        return [(share, logits[i, :, i]) for i, (_, share) in enumerate(heads)]

    def loss_d(params, batch, noise, weights):
        (_, own), *others = judged(params, batch["x"], G(params, noise["z"]))
        total = value(own, weights)
        for share, logits in others:
            total = total + weight_d * share * value(logits, weights)
        return total

    def value(logits, weights):
        real, fake = logits.split(len(weights))
        return wmean(family.real(real), weights) + family.fake(fake).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        (_, own), *others = judged(params, G(params, noise["z"]))
        total = family.generator(own).mean()
        for share, logits in others:
            total = total + weight_g * share * family.generator(logits).mean()
        return total

    def draw(size, generator, params):
        del params
        return {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": headed_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",),) * n_critic + (("G",),),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
