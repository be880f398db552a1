"""The generative adversarial network, with the usual losses and penalties.

Players: G, the generator, from latents to samples; D, the discriminator, from samples and
instances to logits that are high for real.
Columns: x, what is generated.
Source: Goodfellow et al. 2014, arXiv 1406.2661, eq. 1 and algorithm 1; losses and penalties
name theirs in `counterplay.losses` and `counterplay.penalties`.
Differs: defaults are those of a small image GAN whose instances can be traced: Adam without
memory of the first moment and with an epsilon inside its root, where the paper has momentum
SGD. The schedule is the paper's, `n_critic` moves of D and one of G.
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn

from counterplay import losses, optim, penalties
from counterplay.augment import at_random, Kind, N_NUMBERS
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 32,
    loss: losses.Family = "non_saturating",
    real_target: float = 1.0,
    real_share: float = 0.5,
    relativistic: losses.Relation | None = None,
    augment: tuple[Kind, ...] = (),
    simultaneous: bool = False,
    n_critic: int = 1,
    gradient_penalty: float = 0.0,
    r1: float = 0.0,
    r2: float = 0.0,
    ema_halflife: float | None = None,
    optimizer: optim.Name = "adam",
    lr_g: float = 1e-3,
    lr_d: float = 1e-3,
    betas: tuple[float, float] = (0.0, 0.99),
    momentum: float = 0.0,
    eps: float = 1e-8,
    eps_root: float = 1e-8,
    weight_decay: float = 0.0,
    optimizers: Mapping[str, optim.Optimizer] | None = None,
) -> Game:
    """Play a generator against a discriminator.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        discriminator: From samples or instances to one logit each, high for real.
        latent_dim: Size of the latent, which is standard normal.
        loss: Family of losses.
        real_target: What D is to say of an instance; 0.9 is one-sided label smoothing.
        real_share: How much instances count in D's loss against samples.
        relativistic: Judge by differences of logits, `"paired"` (as R3GAN does, with `r1`
            and `r2`) or from the `"average"`.
        augment: Random changes of the images that D sees, in order: `"colour"`, `"shift"`
            and `"cut"`. Penalties are of the changed images.
        simultaneous: Whether both players move at once, reading the same old state;
            otherwise D moves first and G sees the new D.
        n_critic: Moves of D for each move of G.
        gradient_penalty: Factor of WGAN-GP's penalty between instances and samples; its
            paper has 10.
        r1: Gamma of the penalty at instances; half of it multiplies the squared slope.
        r2: Gamma of the penalty at samples, likewise.
        ema_halflife: Half-life of G's moving average in moves of G, or none.
        optimizer: The optimizer of both players.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        momentum: Momentum of SGD and RMSprop.
        eps: Added to the root by Adam and RMSprop.
        eps_root: Added inside the root; it smooths the step where a gradient vanishes,
            which makes traces more accurate.
        weight_decay: L2 decay of the parameters, or decoupled decay for `adamw`.
        optimizers: An optimizer for "G" and one for "D", instead of the eight options
            above.

    Returns:
        The game.

    Raises:
        GameError: If the schedule or a penalty makes no sense.
    """
    if n_critic < 1 or (simultaneous and n_critic > 1) or min(gradient_penalty, r1, r2) < 0:
        raise GameError(
            "`n_critic` must be at least 1, and 1 in a simultaneous game, and penalties at "
            f"least 0 (0 is off), got n_critic={n_critic} with simultaneous={simultaneous} "
            f"and gradient_penalty={gradient_penalty!r}, r1={r1!r}, r2={r2!r}."
        )
    family = losses.adversarial(loss, real_target=real_target, real_share=real_share)
    relative = losses.relativistic(family, relativistic) if relativistic else None
    changed = at_random(augment)
    G, D = apply_of("G", generator), apply_of("D", discriminator)
    like = next(generator.parameters())

    def loss_d(params, batch, noise, weights):
        score = partial(D, params)
        real = changed(batch["x"], noise.get("real"))
        fake = changed(G(params, noise["z"]), noise.get("fake"))
        logits = losses.scores(score, real, fake)
        total = (relative or family).discriminator(*logits, weights)
        if gradient_penalty:
            # A point between an instance and a sample belongs to the instance's weight.
            slope = penalties.gradient_norm(score, real, fake, noise["mix"])
            total = total + gradient_penalty * wmean(slope, weights)
        if r1:
            total = total + r1 / 2 * wmean(penalties.r1(score, real), weights)
        if r2:
            total = total + r2 / 2 * penalties.r2(score, fake).mean()
        return total

    def loss_g(params, batch, noise, weights):
        fake = changed(G(params, noise["z"]), noise.get("fake"))
        if not relative:
            return family.generator(per_instance(D(params, fake))).mean()
        real = changed(batch["x"], noise.get("real"))
        return relative.generator(*losses.scores(partial(D, params), real, fake), weights)

    def draw(size, generator, params):
        del params
        uniform = partial(torch.rand, generator=generator, dtype=like.dtype)
        noise = {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}
        if gradient_penalty:
            noise["mix"] = uniform(size)
        if augment:
            noise |= {whose: uniform(size, N_NUMBERS) for whose in ("real", "fake")}
        return noise

    rule = partial(
        optim.by_name, optimizer, betas=betas, momentum=momentum,
        eps=eps, eps_root=eps_root, weight_decay=weight_decay,
    )  # fmt: skip
    return Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers=optimizers or {"G": rule(lr_g), "D": rule(lr_d)},
        schedule=(("D", "G"),) if simultaneous else (("D",),) * n_critic + (("G",),),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        readers=("D", "G") if relative else ("D",),
        averages={} if ema_halflife is None else {"G": ema_halflife},
        couples_instances=relative is not None and relative.couples_instances,
    )
