"""InfoGAN: part of the latent is a code that can be read off the samples.

Players: G, the generator; D, the discriminator, which also guesses the code of a sample.
Columns: x, what is generated.
Source: Chen et al. 2016, arXiv 1606.03657, eq. 5 and 6.
Differs: a continuous code has a normal posterior of variance 1, of which only the mean is
learnt. As in the authors' code, both players minimise the error of the guess.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import wmean


def infogan(
    generator: nn.Module,
    code_discriminator: nn.Module,
    *,
    latent_dim: int = 74,
    n_categories: int = 10,
    n_continuous: int = 2,
    category_weight: float = 1.0,
    continuous_weight: float = 0.1,
    loss: losses.Family = "non_saturating",
    lr_g: float = 1e-3,
    lr_d: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
) -> Game:
    """Play a generator whose code shows against a discriminator that reads it.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        code_discriminator: From samples or instances to `1 + n_categories + n_continuous`
            numbers: a logit that is high for real, a logit per category, and the means of
            the continuous codes.
        latent_dim: Size of the whole latent: the category as indicators, the continuous
            codes, uniform on [-1, 1], and standard normal noise.
        n_categories: Values of the categorical code.
        n_continuous: Number of continuous codes.
        category_weight: Factor of the category's part, `lambda` in the paper.
        continuous_weight: Factor of the continuous codes' part.
        loss: Family of losses.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.

    Returns:
        The game.

    Raises:
        GameError: If there is no code, or no room for it in the latent.
    """
    n_noise = latent_dim - n_categories - n_continuous
    if n_categories < 2 or n_continuous < 0 or n_noise < 0:
        raise GameError(
            f"A latent of latent_dim={latent_dim} numbers must hold n_categories="
            f"{n_categories} indicators, at least 2, and n_continuous={n_continuous} codes."
        )
    family = losses.adversarial(loss)
    G, D = apply_of("G", generator), apply_of("D", code_discriminator)
    like = next(generator.parameters())

    def unread(given, noise):
        """How wrong the code is guessed, per sample, up to a constant: `-L_I`."""
        category = noise["z"][:, :n_categories].argmax(1)
        codes = noise["z"][:, n_categories : n_categories + n_continuous]
        guesses, means = given[:, 1:].split([n_categories, n_continuous], 1)
        wrong = category_weight * cross_entropy(guesses, category, reduction="none")
        return wrong + continuous_weight * (codes - means).square().sum(1) / 2

    def loss_d(params, batch, noise, weights):
        both = D(params, torch.cat([batch["x"], G(params, noise["z"])]))
        real, fake = both[: len(batch)], both[len(batch) :]
        of_fake = family.fake(fake[:, 0]) + unread(fake, noise)
        return wmean(family.real(real[:, 0]), weights) + of_fake.mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        given = D(params, G(params, noise["z"]))
        return (family.generator(given[:, 0]) + unread(given, noise)).mean()

    def draw(size, generator, params):
        del params
        category = torch.randint(n_categories, (size,), generator=generator)
        codes = torch.rand(size, n_continuous, generator=generator, dtype=like.dtype)
        rest = torch.randn(size, n_noise, generator=generator, dtype=like.dtype)
        return {"z": torch.cat([one_hot(category, n_categories), 2 * codes - 1, rest], 1)}

    return Game(
        modules={"G": generator, "D": code_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={
            player: optim.adam(lr, betas=betas, eps_root=eps_root)
            for player, lr in {"G": lr_g, "D": lr_d}.items()
        },
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
    )
