"""The generative multi-adversarial network: one generator against several discriminators.

Players: G, the generator; D0, D1, ..., discriminators with logits that are high for real.
Columns: x, what is generated.
Source: Durugkar, Gemp and Mahadevan 2017, arXiv 1611.01673, and the authors' code.
Differs: every discriminator sees the whole batch but its own samples, where the authors'
code gives each its own share of the data; the discriminators differ by their first
parameters, or as they are built. Weights of the mean are those of the discriminators'
values on samples, with their gradient, as in the authors' code.
"""

from collections.abc import Sequence

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def gman(
    generator: nn.Module,
    discriminators: Sequence[nn.Module],
    *,
    latent_dim: int = 32,
    n_discriminators: int = 5,
    harshness: float = 1.0,
    loss: losses.Family = "minimax",
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
) -> Game:
    """Play a generator against several discriminators.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        discriminators: From samples or instances to one logit each, high for real.
        latent_dim: Size of the latent, which is uniform on [-1, 1].
        n_discriminators: How many discriminators there are.
        harshness: How much more the harsher discriminators count in the generator's loss,
            `lambda` in the paper: 0 is their mean, infinity the harshest alone.
        loss: Family of losses.
        lr: Learning rate of all players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.

    Returns:
        The game.

    Raises:
        GameError: If there is another number of discriminators, or `harshness` is negative.
    """
    if len(discriminators) != n_discriminators or harshness < 0:
        raise GameError(
            f"`discriminators` must hold n_discriminators={n_discriminators} networks and "
            f"`harshness` be at least 0, got {len(discriminators)} and {harshness!r}."
        )
    family, names = losses.adversarial(loss), [f"D{i}" for i in range(n_discriminators)]
    G = apply_of("G", generator)
    Ds = {name: apply_of(name, D) for name, D in zip(names, discriminators, strict=True)}
    like = next(generator.parameters())

    def loss_d(name):
        def loss(params, batch, noise, weights):
            fake = G(params, noise["z"][:, names.index(name)])
            real, fake = losses.scores(lambda x: Ds[name](params, x), batch["x"], fake)
            return wmean(family.real(real), weights) + family.fake(fake).mean()

        return loss

    def loss_g(params, batch, noise, weights):
        del batch, weights
        fake = G(params, noise["z"][:, 0])
        values = torch.stack(
            [family.generator(per_instance(D(params, fake))).mean() for D in Ds.values()]
        )
        if harshness == float("inf"):
            return values.max()
        return (harshness * values).softmax(0) @ values

    def draw(size, generator, params):
        del params
        shape = size, n_discriminators, latent_dim
        return {"z": 2 * torch.rand(shape, generator=generator, dtype=like.dtype) - 1}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, **dict(zip(names, discriminators, strict=True))},
        losses={"G": loss_g, **{name: loss_d(name) for name in names}},
        optimizers=dict.fromkeys(["G", *names], rule),
        schedule=(tuple(names), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"][:, 0]),
        readers=tuple(names),
    )
