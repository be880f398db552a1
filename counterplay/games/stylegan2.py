"""StyleGAN2's game: logistic losses, slopes penalised at instances, an average of G.

Players: G, the generator; D, the discriminator, with logits that are high for real.
Columns: x, what is generated.
Source: Karras, Laine, Aittala, Hellsten, Lehtinen and Aila 2020, arXiv 1912.04958, section
3 and appendix B.
Differs: the penalty is part of every move of D, where the paper applies 16 times as much in
one move of 16; no mixing of styles, no penalty on the length of G's paths; an epsilon in
Adam's root. Modulation and the rest of the architecture are the networks' business; those
called "stylegan2" have them, and adapters of low rank for fine-tuning.
"""

import torch
from torch import nn

from counterplay import losses, optim, penalties
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def stylegan2(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 512,
    r1: float = 10.0,
    lr_g: float = 2e-3,
    lr_d: float = 2e-3,
    betas: tuple[float, float] = (0.0, 0.99),
    eps: float = 1e-8,
    eps_root: float = 1e-8,
    ema_halflife: float | None = 312.5,
) -> Game:
    """Play a generator of styles against a discriminator that is flat at instances.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        discriminator: From samples or instances to one logit each.
        latent_dim: Size of the latent, which is standard normal.
        r1: Gamma of the penalty at instances; half of it multiplies the squared slope. The
            paper's is 10 for large images; `2e-4 * pixels / batch_size` is a rule for
            others (Karras et al. 2020, arXiv 2006.06676).
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        eps: Added to Adam's root.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none. The paper's is
            10 thousand images: 312.5 moves on its batches of 32.

    Returns:
        The game.

    Raises:
        GameError: If `r1` is negative.
    """
    if r1 < 0:
        raise GameError(f"`r1` must be at least 0 (0 is off), got {r1!r}.")
    family = losses.adversarial("non_saturating")
    G, D = apply_of("G", generator), apply_of("D", discriminator)
    like = next(generator.parameters())

    def loss_d(params, batch, noise, weights):
        def score(x):
            return per_instance(D(params, x))

        real, fake = batch["x"], G(params, noise["z"])
        of_real, of_fake = losses.scores(score, real, fake)
        cost = family.real(of_real)
        if r1:
            cost = cost + r1 / 2 * penalties.r1(score, real)
        return wmean(cost, weights) + family.fake(of_fake).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        return family.generator(per_instance(D(params, G(params, noise["z"])))).mean()

    def draw(size, generator, params):
        del params
        z = torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)
        return {"z": z}

    return Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={
            player: optim.adam(lr, betas=betas, eps=eps, eps_root=eps_root)
            for player, lr in {"G": lr_g, "D": lr_d}.items()
        },
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
