"""A linear generator against a quadratic discriminator: the GAN with a closed form.

Players: G, the generator, `A z + b`; D, the discriminator, `x' W x + v' x`. Other networks
are accepted, but then the closed form is lost.
Columns: x, points, shape `(n, d)`.
Source: Nagarajan and Kolter 2017, arXiv 1706.04156, section 3; Feizi et al. 2017, arXiv
1710.10793; as a test bed of influence, Terashita et al. 2025, arXiv 2504.00603.
Differs: D is held back by an L2 penalty on its parameters, where the sources have none, a
convexity constraint, or a penalty on slopes. The value is
`E D(x) - E D(G(z)) - decay / 2 (|W|^2 + |v|^2)`, so that the best D is the difference of
the moments, `W = (E xx' - E GG') / decay` and `v = (E x - E G) / decay`, and the game ends
where G has the data's moments, `b = E x` and `A A' = E xx' - b b'`, if its latent is as
large as `x`.
"""

from collections.abc import Mapping

import torch
from torch import nn, Tensor

from counterplay import optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import adversarial, per_instance, scores, wmean


def lqgan(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 2,
    decay: float = 1.0,
    whitened: bool = False,
    simultaneous: bool = False,
    ema_halflife: float | None = None,
    optimizer: optim.Name = "sgd",
    lr_g: float = 1e-2,
    lr_d: float = 1e-1,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    optimizers: Mapping[str, optim.Optimizer] | None = None,
) -> Game:
    """Play a linear generator against a quadratic discriminator.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to points.
        discriminator: From points to one score each, high for real; a constant term in it
            would cancel.
        latent_dim: Size of the latent, which is standard normal.
        decay: Factor of the L2 penalty on D's parameters, above 0.
        whitened: Whether each draw of latents is shifted and mixed to have mean 0 and
            covariance 1 exactly. A quadratic D then sees expectations over the latent, and
            a game on full batches is free of noise.
        simultaneous: Whether both players move at once, reading the same old state;
            otherwise D moves first and G sees the new D.
        ema_halflife: Half-life of G's moving average in moves of G, or none.
        optimizer: The optimizer of both players.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        momentum: Momentum of SGD and RMSprop.
        weight_decay: L2 decay of both players' parameters, beside `decay`.
        optimizers: An optimizer for "G" and one for "D", instead of the five options above.

    Returns:
        The game.

    Raises:
        GameError: If `decay` is not positive.
    """
    if decay <= 0:
        raise GameError(
            f"`decay` must be above 0, got {decay!r}; without it the best discriminator is "
            "unbounded."
        )
    value = adversarial("wasserstein")
    G, D = apply_of("G", generator), apply_of("D", discriminator)
    like = next(generator.parameters())
    decayed = [name for name, p in discriminator.named_parameters() if p.requires_grad]

    def loss_d(params, batch, noise, weights):
        fake = G(params, noise["z"])
        score_real, score_fake = scores(lambda x: D(params, x), batch["x"], fake)
        length = torch.stack([params["D"][name].square().sum() for name in decayed]).sum()
        losses = wmean(value.real(score_real), weights), value.fake(score_fake).mean()
        return sum(losses) + decay / 2 * length

    def loss_g(params, batch, noise, weights):
        del batch, weights
        return value.generator(per_instance(D(params, G(params, noise["z"])))).mean()

    def draw(size, generator, params):
        del params
        z = torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)
        return {"z": _whiten(z) if whitened else z}

    rules = {
        player: optim.by_name(optimizer, lr, momentum=momentum, weight_decay=weight_decay)
        for player, lr in {"G": lr_g, "D": lr_d}.items()
    }
    return Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers=optimizers or rules,
        schedule=(("D", "G"),) if simultaneous else (("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )


def _whiten(z: Tensor) -> Tensor:
    """The rows shifted and mixed to mean 0 and covariance 1.

    Raises:
        GameError: If there are too few rows.
    """
    size, latent_dim = z.shape
    if size <= latent_dim:
        raise GameError(
            f"`whitened=True` needs a batch larger than `latent_dim`={latent_dim}, got "
            f"{size}. Use a larger batch, or `whitened=False`."
        )
    z = z - z.mean(0)
    factor = torch.linalg.cholesky(z.mT @ z / size)
    return torch.linalg.solve_triangular(factor, z.mT, upper=False).mT
