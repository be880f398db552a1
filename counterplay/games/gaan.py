"""Dist-GAN, once GAAN: an autoencoder holds the generator to all of the data.

Players: E, the encoder; G, the generator, also of reconstructions; D, the discriminator,
with logits that are high for real, and features in which distances are measured.
Columns: x, what is generated.
Source: Tran, Bui and Cheung 2018, arXiv 1803.08887, and the authors' code.
Differs: reconstructions are real to D with a constant weight, which in the code falls to 0.
The gradient penalty pulls slopes of D to 1, not their root mean square. Where G learns to
reconstruct too, it does so in its own move, by the sum of both losses.
"""

import math
from typing import get_args, Literal

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from counterplay import optim, penalties
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


Distance = Literal["features", "data"]


def gaan(
    encoder: nn.Module,
    generator: nn.Module,
    featured_discriminator: nn.Module,
    *,
    latent_dim: int = 32,
    distance: Distance = "features",
    reconstruct: float = 1.0,
    constraint: float = 1.0,
    as_real: float = 0.05,
    penalty: float = 1.0,
    generator_reconstructs: bool = True,
    n_critic: int = 1,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.9),
    eps_root: float = 1e-8,
) -> Game:
    """Play an encoder and a generator against a discriminator with features.

    Args:
        encoder: From instances to latents.
        generator: From latents, shape `(n, latent_dim)`, to samples.
        featured_discriminator: From inputs to one logit each and features.
        latent_dim: Size of the latent, which is uniform on [-1, 1].
        distance: Where reconstructions are compared with instances.
        reconstruct: Factor of the mean squared error of reconstructions.
        constraint: Factor of the squared difference between the mean distance of samples to
            reconstructions and that of their latents, `lambda_r` in the paper.
        as_real: How much of D's reward for instances goes to reconstructions.
        penalty: Factor of D's gradient penalty between instances and samples.
        generator_reconstructs: Whether G, and not the encoder alone, learns to reconstruct.
        n_critic: Moves of D for each move of E and G.
        lr: Learning rate of all players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.

    Returns:
        The game.

    Raises:
        GameError: If there is no such distance, or a number makes no sense.
    """
    if (
        distance not in get_args(Distance)
        or not 0 <= as_real < 1
        or min(reconstruct, constraint, penalty, n_critic - 1) < 0
    ):
        raise GameError(
            f"`distance` must be one of {list(get_args(Distance))}, `as_real` in [0, 1), "
            f"`n_critic` at least 1 and factors at least 0, got {distance!r}, {as_real!r}, "
            f"{n_critic!r} and {reconstruct!r}, {constraint!r}, {penalty!r}."
        )
    E, G = apply_of("E", encoder), apply_of("G", generator)
    D = apply_of("D", featured_discriminator)
    like = next(generator.parameters())

    def loss_e(params, batch, noise, weights):
        x, z, codes = batch["x"], noise["z"], E(params, batch["x"])
        rebuilt, fake = G(params, codes), G(params, z)
        features = D(params, torch.cat([x, rebuilt, fake]))[1]
        of_x, of_rebuilt, of_fake = features.split(len(x))
        there, here = (of_x, of_rebuilt) if distance == "features" else (x, rebuilt)
        error = (there - here).square().flatten(1).mean(1)
        # The mean distance of reconstructions to samples, and of their latents.
        f = wmean(of_rebuilt.mean(1), weights) - of_fake.mean()
        g = wmean(codes.mean(1), weights) - z.mean()
        gap = f - math.sqrt(latent_dim / features.shape[1]) * g
        return reconstruct * wmean(error, weights) + constraint * gap.square()

    def loss_d(params, batch, noise, weights):
        x = batch["x"]
        fake, rebuilt = G(params, noise["z"]), G(params, E(params, x))
        real, again, made = D(params, torch.cat([x, rebuilt, fake]))[0].split(len(x))
        of_real = -(1 - as_real) * logsigmoid(real) - as_real * logsigmoid(again)
        slope = penalties.gradient_norm(lambda x: D(params, x)[0], x, fake, noise["mix"])
        return wmean(of_real + penalty * slope, weights) - logsigmoid(-made).mean()

    def loss_g(params, batch, noise, weights):
        x, fake = batch["x"], G(params, noise["z"])
        real, made = D(params, torch.cat([x, fake]))[0].sigmoid().split(len(x))
        total = (wmean(real, weights) - made.mean()).abs()
        if generator_reconstructs:
            total = total + loss_e(params, batch, noise, weights)
        return total

    def draw(size, generator, params):
        del params
        z = 2 * torch.rand(size, latent_dim, generator=generator, dtype=like.dtype) - 1
        return {"z": z, "mix": torch.rand(size, generator=generator, dtype=like.dtype)}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"E": encoder, "G": generator, "D": featured_discriminator},
        losses={"E": loss_e, "G": loss_g, "D": loss_d},
        optimizers=dict.fromkeys("EGD", rule),
        schedule=(("E",), *[("D",)] * n_critic, ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        reconstruct=lambda params, x: G.evaluated(params, E.evaluated(params, x)),
        readers=("E", "D", "G"),
    )
