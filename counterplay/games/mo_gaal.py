"""MO-GAAL: generators at different levels of a discriminator, which so surround the data.

Players: G, the `k` generators of potential outliers, computed together; D, the
discriminator, from rows to logits that are high for real, so that outliers get low ones.
Columns: x, rows scaled to [0, 1].
Source: Liu et al. 2019, arXiv 1809.10816, section 3.3 and algorithm 2, and the authors' code.
Differs: the levels are quantiles of D over the rows of the move's batch, not over all rows,
so that a move costs the same for any number of rows; rows are weighted in them. Each
generator has its own latents, as many as the largest share that D sees. The shares of the
generators are rounded by largest remainder, so that none is empty.
"""

import functools

import torch
from torch import nn, Tensor
from torch.nn.functional import logsigmoid

from counterplay import optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import adversarial, per_instance, scores, wmean


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
) -> Game:
    """Play several generators of outliers against their detector.

    Args:
        generators: From latents, shape `(k, m, latent_dim)`, to rows, shape `(k, m, d)`.
        discriminator: From rows to one logit each, high for real.
        latent_dim: Size of the latent, which is uniform on [0, 1]; the paper takes the
            number of columns.
        n_generators: Number of generators `k`.
        share: How many of the samples that D sees are whose, `k - i` of generator `i` in
            proportion: `"proportional"`, or as the authors round, `"official"`, which gives
            the last one all that is left.
        n_active: Rounds of a move of D and one of G, after which G is frozen.
        n_frozen: Moves of D alone that follow. The schedule then begins again.
        lr_g: Learning rate of G at the beginning.
        lr_d: Learning rate of D at the beginning.
        momentum: Momentum of both players' SGD.
        decay: How fast learning rates fall: at move `t` they are `lr / (1 + decay * t)`.

    Returns:
        The game.

    Raises:
        GameError: If G never moves, or an option makes no sense.
    """
    if n_active < 1 or n_frozen < 0 or n_generators < 1:
        raise GameError(
            "`n_active` and `n_generators` must be at least 1 and `n_frozen` at least 0, "
            f"got {n_active!r}, {n_generators!r} and {n_frozen!r}."
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
        fake = G(params, noise["z"])
        real, fake = scores(lambda x: D(params, x), batch["x"], fake.flatten(0, 1))
        levels = _quantiles(real.sigmoid(), weights, n_generators)[:, None]
        fake = fake.view(n_generators, -1)
        losses = -levels * logsigmoid(fake) - (1 - levels) * logsigmoid(-fake)
        return losses.mean(1).sum()

    def draw(size, generator, params):
        del params
        shape = n_generators, max(_shares(size, n_generators, share)), latent_dim
        return {"z": torch.rand(shape, generator=generator, dtype=like.dtype)}

    return Game(
        modules={"G": generators, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={
            player: optim.sgd(_falling(lr, decay), momentum=momentum)
            for player, lr in {"G": lr_g, "D": lr_d}.items()
        },
        schedule=(("D",), ("G",)) * n_active + (("D",),) * n_frozen,
        draw=draw,
        readers=("D", "G"),
        couples_instances=True,  # through the quantiles, which keep the weight contract
    )


def _falling(lr: float, decay: float) -> optim.Rate:
    return lambda move: lr / (1 + decay * move)


def _quantiles(values: Tensor, weights: Tensor, k: int) -> Tensor:
    """The weighted quantiles at `i / k`, `i` from 0 to `k - 1`.

    With each row on an interval as long as its weight, in order, a quantile is the mean
    over a window as long as the largest weight. Weights of 1 give linear interpolation
    between neighbours, and a row's effect vanishes with its weight.
    """
    ordered, order = values.sort()
    ends = weights[order].cumsum(0)
    begins = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]])
    width = weights.max().detach()
    levels = torch.arange(k, dtype=values.dtype, device=values.device)[:, None] / k
    left = levels * (ends[-1] - width)
    right = left + width
    # At a tie the row's own end counts, so that its weight can only fall.
    upper = torch.where(ends <= right, ends, right)
    lower = torch.where(begins < left, left, begins)
    inside = (upper - lower).clamp_min(0)
    return inside @ ordered / width.clamp_min(torch.finfo(values.dtype).tiny)


@functools.lru_cache(maxsize=16)
def _shown(size: int, k: int, share: str) -> Tensor:
    """Which of `k` times the largest share of samples D sees."""
    shares = _shares(size, k, share)
    return torch.cat([i * max(shares) + torch.arange(n) for i, n in enumerate(shares)])


@functools.lru_cache(maxsize=16)
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
            f"{k} generators need a batch of at least {least} with share={share!r}, got "
            f"{size}. Use fewer generators or a larger batch."
        )
    if share == "official":
        unit = size // total
        shares = [(k - i) * unit for i in range(k)]
        return [*shares[:-1], size - sum(shares[:-1])]
    shares = [max(1, size * (k - i) // total) for i in range(k)]
    remainders = sorted(range(k), key=lambda i: -(size * (k - i) % total))
    for i in remainders[: size - sum(shares)]:
        shares[i] += 1
    return shares
