"""MO-GAAL: generators at different levels of a discriminator, which so surround the data.

Players: G, the `k` generators of potential outliers, computed together; D, the
discriminator, from rows to logits that are high for real, so that outliers get low ones.
Columns: x, rows scaled to [0, 1].
Source: Liu et al. 2019, arXiv 1809.10816, section 3.3 and algorithm 2; the authors' code.
Differs: the levels are weighted quantiles of D over the rows of the move's batch, not over
all rows, so that a move costs the same for any number of rows. Each generator has its own
latents, as many as the largest share that D sees. No share is empty.
"""

import functools

import torch
from torch import nn, Tensor
from torch.nn.functional import logsigmoid

from counterplay import optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import adversarial, scores, wmean


def mo_gaal(
    generators: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 2,
    n_generators: int = 10,
    share: str = "proportional",
    n_active: int = 200,
    n_frozen: int = 400,
    lr_g: float = 1e-4,
    lr_d: float = 1e-2,
    momentum: float = 0.9,
    decay: float = 1e-6,
    ema_halflife: float | None = None,
) -> Game:
    """Play several generators of outliers against their detector.

    Args:
        generators: From latents, shape `(k, m, latent_dim)`, to rows, shape `(k, m, d)`.
        discriminator: From rows to one logit each, high for real.
        latent_dim: Size of the latent, uniform on [0, 1]; in the paper that of a row.
        n_generators: Number of generators `k`.
        share: How D's samples are shared, `k - i` parts from generator `i`; rounded as by
            the authors (`"official"`), the last one gives all that is left.
        n_active: Rounds of a move of D and one of G.
        n_frozen: Moves of D alone after them. The schedule then begins again.
        lr_g: Learning rate of G at the beginning.
        lr_d: Learning rate of D at the beginning.
        momentum: Momentum of both players' SGD.
        decay: At move `t`, learning rates are `lr / (1 + decay * t)`.
        ema_halflife: Half-life of D's moving average in moves of D, or none.

    Returns:
        The game.

    Raises:
        GameError: If G never moves, or an option makes no sense.
    """
    if min(n_active, n_generators) < 1 or n_frozen < 0:
        raise GameError(
            "`n_active` and `n_generators` must be at least 1, `n_frozen` at least 0, got "
            f"{n_active!r}, {n_generators!r} and {n_frozen!r}."
        )
    value = adversarial("non_saturating")
    G, D = apply_of("G", generators), apply_of("D", discriminator)
    like = next(generators.parameters())

    def loss_d(params, batch, noise, weights):
        fake = G(params, noise["z"]).flatten(0, 1)
        shown = fake[_shown(len(batch), n_generators, share).to(fake.device)]
        real, fake = scores(lambda x: D(params, x), batch["x"], shown)
        return (wmean(value.real(real), weights) + value.fake(fake).mean()) / 2

    def loss_g(params, batch, noise, weights):
        fake = G(params, noise["z"]).flatten(0, 1)
        real, fake = scores(lambda x: D(params, x), batch["x"], fake)
        levels = _quantiles(real.sigmoid(), weights, n_generators)[:, None]
        fake = fake.view(n_generators, -1)
        return -(levels * logsigmoid(fake) + (1 - levels) * logsigmoid(-fake)).mean(1).sum()

    def draw(size, generator, params):
        del params
        shape = n_generators, max(_shares(size, n_generators, share)), latent_dim
        return {"z": torch.rand(shape, generator=generator, dtype=like.dtype)}

    def sgd(lr):
        return optim.sgd(lambda move: lr / (1 + decay * move), momentum=momentum)

    return Game(
        modules={"G": generators, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": sgd(lr_g), "D": sgd(lr_d)},
        schedule=(("D",), ("G",)) * n_active + (("D",),) * n_frozen,
        draw=draw,
        averages={} if ema_halflife is None else {"D": ema_halflife},
        readers=("D", "G"),
        couples_instances=True,  # through the quantiles, which keep the weight contract
    )


def _quantiles(values: Tensor, weights: Tensor, k: int) -> Tensor:
    """The weighted quantiles at `i / k`, for `i` from 0 to `k - 1`.

    Every row fills an interval as long as its weight, in order; a quantile is the mean over
    a window as long as the largest weight. With weights of 1, that is linear interpolation;
    a row's effect vanishes with its weight.
    """
    ordered, order = values.sort()
    ends = weights[order].cumsum(0)
    begins = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]])
    width = weights.max().detach()
    levels = torch.arange(k, dtype=values.dtype, device=values.device)[:, None] / k
    left = levels * (ends[-1] - width)
    # At a tie the row's own end counts, so that its weight can only fall.
    upper = torch.where(ends <= left + width, ends, left + width)
    inside = (upper - torch.where(begins < left, left, begins)).clamp_min(0)
    return inside @ ordered / width.clamp_min(torch.finfo(values.dtype).tiny)


@functools.lru_cache(maxsize=16)
def _shown(size: int, k: int, share: str) -> Tensor:
    """Which of `k` times the largest share of samples D sees."""
    shares = _shares(size, k, share)
    return torch.cat([i * max(shares) + torch.arange(n) for i, n in enumerate(shares)])


def _shares(size: int, k: int, share: str) -> list[int]:
    """How many of `size` samples come from which generator.

    Raises:
        GameError: If one would have none, or there is no such rule.
    """
    if share not in ("proportional", "official"):
        raise GameError(f"`share` must be 'proportional' or 'official', got {share!r}.")
    total = k * (k + 1) // 2
    if size < (least := k if share == "proportional" else total):
        raise GameError(
            f"With share={share!r}, {k} generators need a batch of at least {least}, got "
            f"{size}. Use fewer generators or a larger batch."
        )
    if share == "official":
        unit = size // total
        shares = [(k - i) * unit for i in range(k)]
        return [*shares[:-1], size - sum(shares[:-1])]
    shares = [max(1, size * (k - i) // total) for i in range(k)]
    by_deficit = sorted(range(k), key=lambda i: shares[i] * total - size * (k - i))
    return [n + (i in by_deficit[: size - sum(shares)]) for i, n in enumerate(shares)]
