"""A generator against a discriminator of windows of a time series, judged step by step.

Players: G, the generator, from one latent per step of time to windows; D, the
discriminator, from windows to one logit per step, high for real.
Columns: x, windows of shape `(time, channels)`; a window is an instance.
Source: Li et al. 2019, arXiv 1901.04997, section 3.1.
Differs: one move of G follows each of D, both by Adam at the same rate, and D's slope at
instances is penalised; the authors' code has three moves of G, SGD at 0.1 for D, and no
penalty, with which D learns next to nothing. Penalty and epsilon inside the root also keep
the run from chaos, in which influence has no meaning. G may have a moving average.
"""

from collections.abc import Mapping

import torch
from torch import nn

from counterplay import losses, optim, penalties
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


def mad_gan(
    window_generator: nn.Module,
    window_discriminator: nn.Module,
    *,
    window: int = 30,
    latent_dim: int = 3,
    loss: losses.Family = "non_saturating",
    n_generator: int = 1,
    r1: float = 1.0,
    ema_halflife: float | None = None,
    optimizer: optim.Name = "adam",
    lr_g: float = 2e-3,
    lr_d: float = 2e-3,
    betas: tuple[float, float] = (0.5, 0.9),
    momentum: float = 0.0,
    eps: float = 1e-8,
    eps_root: float = 1e-6,
    optimizers: Mapping[str, optim.Optimizer] | None = None,
) -> Game:
    """Play a generator of windows against a discriminator with one verdict per step.

    Args:
        window_generator: From latents, shape `(n, window, latent_dim)`, to windows.
        window_discriminator: From windows to one logit per step, shape `(n, window)`.
        window: Steps of time in a window.
        latent_dim: Numbers per step of the latent, which is standard normal. Fewer than
            channels, or a latent can be found for any window, be it normal or not.
        loss: Family of losses; the paper's is `"non_saturating"`.
        n_generator: Moves of G after each move of D.
        r1: Gamma of the penalty at instances; half of it multiplies the squared slope of
            the mean logit of a window.
        ema_halflife: Half-life of G's moving average in moves of G, or none.
        optimizer: The optimizer of both players.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        momentum: Momentum of SGD and RMSprop.
        eps: Added to the root by Adam and RMSprop.
        eps_root: Added inside the root; it smooths the step where a gradient vanishes,
            which makes traces more accurate.
        optimizers: An optimizer for "G" and one for "D", instead of the seven options
            above; the authors' are `{"G": adam(1e-3), "D": sgd(0.1)}`.

    Returns:
        The game.

    Raises:
        GameError: If a number makes no sense.
    """
    numbers = {"window": window, "latent_dim": latent_dim, "n_generator": n_generator}
    for name, number in numbers.items():
        if number < 1:
            raise GameError(f"`{name}` must be at least 1, got {number!r}.")
    family = losses.adversarial(loss)
    G, D = apply_of("G", window_generator), apply_of("D", window_discriminator)
    like = next(window_generator.parameters())

    def loss_d(params, batch, noise, weights):
        real, fake = batch["x"], G(params, noise["z"])
        logits_real, logits_fake = D(params, torch.cat([real, fake])).split(len(real))
        # All steps of a window share its weight.
        total = wmean(family.real(logits_real).mean(1), weights)
        total = total + family.fake(logits_fake).mean()
        if r1:
            slope = penalties.r1(lambda x: D(params, x).mean(1), real)
            total = total + r1 / 2 * wmean(slope, weights)
        return total

    def loss_g(params, batch, noise, weights):
        del batch, weights
        return family.generator(D(params, G(params, noise["z"]))).mean()

    def draw(size, generator, params):
        del params
        shape = (size, window, latent_dim)
        return {"z": torch.randn(shape, generator=generator, dtype=like.dtype)}

    rules = {
        player: optim.by_name(
            optimizer, lr, betas=betas, momentum=momentum, eps=eps, eps_root=eps_root
        )
        for player, lr in {"G": lr_g, "D": lr_d}.items()
    }
    return Game(
        modules={"G": window_generator, "D": window_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers=optimizers or rules,
        schedule=(("D",), *(("G",),) * n_generator),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
