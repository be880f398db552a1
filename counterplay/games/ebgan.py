"""The energy-based GAN: the discriminator is an autoencoder, and its error the energy.

Players: G, the generator; D, an autoencoder that rebuilds instances well and samples badly.
Columns: x, what is generated.
Source: Zhao, Mathieu and LeCun 2017, arXiv 1609.03126, section 2.
Differs: the energy is the mean squared error per number, so that the margin does not depend
on the size of an instance. The margin holds for each sample by itself, and the
pulling-away term compares codes of all pairs, as in the paper.
"""

import torch
from torch import nn
from torch.nn.functional import normalize, relu

from counterplay import optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


def ebgan(
    generator: nn.Module,
    autoencoder: nn.Module,
    *,
    latent_dim: int = 32,
    margin: float = 0.2,
    pulling_away: float = 0.0,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
) -> Game:
    """Play a generator against an autoencoder.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        autoencoder: From samples or instances to their reconstructions and codes.
        latent_dim: Size of the latent, which is standard normal.
        margin: Energy above which a sample is as bad as can be.
        pulling_away: Factor of the term that pulls the codes of samples apart; the paper
            has 0.1.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.

    Returns:
        The game.

    Raises:
        GameError: If the margin is not above 0 or the factor is negative.
    """
    if margin <= 0 or pulling_away < 0:
        raise GameError(
            "`margin` must be above 0 and `pulling_away` at least 0, got "
            f"margin={margin!r} and pulling_away={pulling_away!r}."
        )
    G, D = apply_of("G", generator), apply_of("D", autoencoder)
    like = next(generator.parameters())

    def energy(params, x):
        rebuilt, codes = D(params, x)
        return (rebuilt - x).square().flatten(1).mean(1), codes

    def loss_d(params, batch, noise, weights):
        both, _ = energy(params, torch.cat([batch["x"], G(params, noise["z"])]))
        real, fake = both[: len(batch)], both[len(batch) :]
        return wmean(real, weights) + relu(margin - fake).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        fake, codes = energy(params, G(params, noise["z"]))
        total = fake.mean()
        if pulling_away:
            directions = normalize(codes, dim=1)
            alike = (directions @ directions.T).square().sum() - len(codes)
            total = total + pulling_away * alike / (len(codes) * (len(codes) - 1))
        return total

    def draw(size, generator, params):
        del params
        return {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": autoencoder},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        reconstruct=lambda params, x: D.evaluated(params, x)[0],
    )
