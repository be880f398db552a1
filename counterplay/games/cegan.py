"""Calibrated energy: the discriminator ends as minus the log-density of the data.

Players: G, the generator; D, which gives minus the energy, high where instances are.
Columns: x, what is generated.
Source: Dai et al. 2017, arXiv 1702.01691, with the nearest-neighbour form of the entropy;
the authors' code.
Differs: players alternate; the authors let the sign of the last gap decide who moves. The
directions in which the entropy grows are unit vectors, as in the paper.

The directions depend on the samples, but count as constants when a run is traced, so the
influence lacks that part.
"""

import torch
from torch import nn
from torch.nn.functional import normalize

from counterplay import optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def cegan(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 4,
    entropy: float = 1.0,
    n_neighbours: int = 5,
    smoothness: float = 0.01,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.0, 0.99),
    eps_root: float = 1e-8,
    ema_halflife: float | None = 2_000.0,
) -> Game:
    """Play a generator that likes to spread against an energy.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        discriminator: From samples or instances to minus their energy.
        latent_dim: Size of the latent, which is standard normal.
        entropy: Factor of the entropy's gradient, a unit vector per sample; 0 is a game in
            which the energy ends flat.
        n_neighbours: Nearest other samples whose mean a sample is pushed away from. The
            batch must be large, 200 or more, and instances of few numbers.
        smoothness: Factor of the mean squared energy in D's loss.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of D's moving average in moves of D, or none; the energy
            itself goes up and down.

    Returns:
        The game.

    Raises:
        GameError: If a number makes no sense.
    """
    if n_neighbours < 1 or min(entropy, smoothness) < 0:
        raise GameError(
            "`n_neighbours` must be at least 1, `entropy` and `smoothness` at least 0, got "
            f"{n_neighbours!r}, {entropy!r} and {smoothness!r}."
        )
    G, D = apply_of("G", generator), apply_of("D", discriminator)
    like = next(generator.parameters())

    def energy(params, x):
        return -per_instance(D(params, x))

    def loss_d(params, batch, noise, weights):
        both = energy(params, torch.cat([batch["x"], G(params, noise["z"])]))
        real, fake = both[: len(batch)], both[len(batch) :]
        of_real = real + smoothness * real.square()
        return wmean(of_real, weights) + (smoothness * fake.square() - fake).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        fake = G(params, noise["z"])
        towards_others = (_crowd(fake.detach().flatten(1)) * fake.flatten(1)).sum(1)
        return (energy(params, fake) + entropy * towards_others).mean()

    def _crowd(x):
        """The direction from each sample to the mean of its neighbours."""
        near = torch.cdist(x, x).topk(min(n_neighbours + 1, len(x)), largest=False)
        return normalize(x[near.indices[:, 1:]].mean(1) - x, dim=1)

    def draw(size, generator, params):
        del params
        return {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"D": ema_halflife},
    )
