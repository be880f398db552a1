"""SO-GAAL: a generator whose samples become the outliers that a discriminator learns from.

Players: G, the generator, from latents to potential outliers; D, the discriminator, from
rows to logits that are high for real, so that outliers get low ones.
Columns: x, rows scaled to [0, 1].
Source: Liu et al. 2019, arXiv 1809.10816, section 3.2 and algorithm 1; the authors' code.
Differs: every move of G draws its own latents, where the code gives it those of D.
"""

import torch
from torch import nn

from counterplay import optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import adversarial, per_instance, scores, wmean


def so_gaal(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 2,
    n_active: int = 200,
    n_frozen: int = 400,
    lr_g: float = 1e-4,
    lr_d: float = 1e-2,
    momentum: float = 0.9,
    decay: float = 1e-6,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator of outliers against their detector.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to rows.
        discriminator: From rows to one logit each, high for real.
        latent_dim: Size of the latent, which is uniform on [0, 1]; the paper takes the
            number of columns.
        n_active: Rounds of a move of D and one of G, after which G is frozen.
        n_frozen: Moves of D alone that follow. The schedule then begins again.
        lr_g: Learning rate of G at the beginning.
        lr_d: Learning rate of D at the beginning.
        momentum: Momentum of both players' SGD.
        decay: How fast learning rates fall: at move `t` they are `lr / (1 + decay * t)`.
        ema_halflife: Half-life of D's moving average in moves of D, or none.

    Returns:
        The game.

    Raises:
        GameError: If G never moves or a number of moves is negative.
    """
    if n_active < 1 or n_frozen < 0:
        raise GameError(
            "`n_active` must be at least 1 and `n_frozen` at least 0, got "
            f"n_active={n_active!r} and n_frozen={n_frozen!r}."
        )
    value = adversarial("non_saturating")
    G, D = apply_of("G", generator), apply_of("D", discriminator)
    like = next(generator.parameters())

    def loss_d(params, batch, noise, weights):
        fake = G(params, noise["z"])
        real, fake = scores(lambda x: D(params, x), batch["x"], fake)
        return (wmean(value.real(real), weights) + value.fake(fake).mean()) / 2

    def loss_g(params, batch, noise, weights):
        del batch, weights
        return value.generator(per_instance(D(params, G(params, noise["z"])))).mean()

    def draw(size, generator, params):
        del params
        return {"z": torch.rand(size, latent_dim, generator=generator, dtype=like.dtype)}

    def sgd(lr):
        return optim.sgd(lambda move: lr / (1 + decay * move), momentum=momentum)

    return Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": sgd(lr_g), "D": sgd(lr_d)},
        schedule=(("D",), ("G",)) * n_active + (("D",),) * n_frozen,
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"D": ema_halflife},
    )
