"""A generator and a discriminator that fit the data, by name."""

import torch
from torch import nn

from counterplay.nets.families import networks


def pair(
    name: str,
    shape: tuple[int, ...],
    *,
    latent_dim: int = 32,
    width: int = 32,
    width_d: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **options: str | int | bool,
) -> tuple[nn.Module, nn.Module]:
    """A fresh `(generator, discriminator)` for instances of `shape`.

    Args:
        name: `"dcgan"`, `"linear_quadratic"`, `"mlp"`, `"resnet"`, `"sagan"` or
            `"stylegan2"`.
        shape: Shape of one instance, such as `(1, 28, 28)` or `(2,)`. A generator of images
            ends in tanh.
        latent_dim: Numbers in `z`.
        width: Channels or units of the hidden layers.
        width_d: The same for the discriminator alone, if it differs.
        seed: Determines the first parameters, whatever was drawn before.
        dtype: Of the parameters; that of the data.
        options: Further keywords of the networks: `norm`, `spectral`, `activation`,
            `last_layer` for `"dcgan"`, `activation`, `depth`, `bias`, `glorot` for `"mlp"`,
            `constant` for `"linear_quadratic"`, `norm`, `spectral`, `activation` for
            `"resnet"`, these and `attention` for `"sagan"`, `activation`, `equalised`,
            `depth`, `rank` for `"stylegan2"`. `norm="batch"` is for the generator; the
            discriminator then has no norm.

    Returns:
        The networks, `(batch, latent_dim) -> (batch, *shape)` and
        `(batch, *shape) -> (batch,)`.

    Example:
        >>> G, D = pair("mlp", (2,), latent_dim=4)
        >>> D(G(torch.zeros(3, 4))).shape
        torch.Size([3])
    """
    generator, discriminator = networks(
        name,
        ("generator", "discriminator"),
        shape,
        {"latent_dim": latent_dim},
        width=width,
        width_d=width_d,
        seed=seed,
        dtype=dtype,
        **options,
    )
    assert isinstance(generator, nn.Module)
    assert isinstance(discriminator, nn.Module)
    return generator, discriminator
