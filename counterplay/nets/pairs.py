"""A generator and a discriminator that fit the data, by name."""

import inspect
import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from counterplay import _rng
from counterplay.errors import ConfigError, GameError
from counterplay.nets import dcgan, resnet
from counterplay.nets.linear_quadratic import linear_generator, quadratic_discriminator
from counterplay.nets.mlp import mlp


Pair = tuple[nn.Module, nn.Module]
_SHARED = ("width", "width_d")  # options that all networks have


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
) -> Pair:
    """A fresh `(generator, discriminator)` for instances of `shape`.

    Args:
        name: `"dcgan"`, `"linear_quadratic"`, `"mlp"` or `"resnet"`.
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
            `"resnet"`. `norm="batch"` is for the generator; the discriminator then has no
            norm.

    Returns:
        The networks, `(batch, latent_dim) -> (batch, *shape)` and
        `(batch, *shape) -> (batch,)`.

    Raises:
        ConfigError: If there are no such networks or they have no such option.

    Example:
        >>> G, D = pair("mlp", (2,), latent_dim=4)
        >>> D(G(torch.zeros(3, 4))).shape
        torch.Size([3])
    """
    allowed = options_of(name)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        own = [key for key in allowed if key not in _SHARED]
        raise ConfigError(
            f"The networks {name!r} have no option {unknown[0]!r}; besides `latent_dim`, "
            f"`width`, `width_d`, `seed` and `dtype` they have {own}."
        )
    make, _ = _MAKERS[name]
    with _rng.seeded(seed, "nets", name):
        generator, discriminator = make(
            tuple(shape), latent_dim, width, width_d or width, **options
        )
    return generator.to(dtype), discriminator.to(dtype)


def names() -> tuple[str, ...]:
    """The networks that `pair` knows."""
    return tuple(_MAKERS)


def options_of(name: str) -> Mapping[str, object]:
    """The options of `pair` that belong to the networks called `name`, with their defaults.

    Raises:
        ConfigError: If there are no such networks.
    """
    if name not in _MAKERS:
        raise ConfigError(f"There are no networks {name!r}; there are {sorted(_MAKERS)}.")
    _, options = _MAKERS[name]
    shared = inspect.signature(pair).parameters
    return {key: shared[key].default for key in _SHARED} | options


def _dcgan(
    shape,
    latent_dim,
    width,
    width_d,
    *,
    norm="group",
    spectral=False,
    activation="silu",
    last_layer="baseline",
) -> Pair:
    channels, side = _image(shape, "dcgan")
    return (
        dcgan.generator(
            image_size=side,
            channels=channels,
            latent_dim=latent_dim,
            width=width,
            norm=norm,
            activation=activation,
            last_layer=last_layer,
        ),
        dcgan.discriminator(
            image_size=side,
            channels=channels,
            width=width_d,
            norm="none" if norm == "batch" else norm,
            spectral=spectral,
            activation=activation,
        ),
    )


def _resnet(
    shape,
    latent_dim,
    width,
    width_d,
    *,
    norm="batch",
    spectral=True,
    activation="silu",
) -> Pair:
    channels, side = _image(shape, "resnet")
    return (
        resnet.generator(
            image_size=side,
            channels=channels,
            latent_dim=latent_dim,
            width=width,
            norm=norm,
            activation=activation,
        ),
        resnet.discriminator(
            image_size=side,
            channels=channels,
            width=width_d,
            spectral=spectral,
            activation=activation,
        ),
    )


def _image(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    """Channels and side of square images.

    Raises:
        GameError: If instances are something else.
    """
    if len(shape) != 3 or shape[1] != shape[2]:
        raise GameError(
            f"The networks {name!r} make square images of shape (channels, side, side), "
            f"but an instance has shape {shape}. Use 'mlp', or crop the images."
        )
    return shape[0], shape[1]


def _mlp(shape, latent_dim, width, width_d, **options) -> Pair:
    d = math.prod(shape)
    output = "tanh" if len(shape) == 3 else None
    return (
        nn.Sequential(
            *mlp(latent_dim, d, width=width, output=output, **options), *_unflatten(shape)
        ),
        nn.Sequential(*_flatten(shape), *mlp(d, None, width=width_d, **options)),
    )


def _linear_quadratic(shape, latent_dim, width, width_d, *, constant=False) -> Pair:
    del width, width_d  # there is no hidden layer
    d = math.prod(shape)
    return (
        nn.Sequential(linear_generator(latent_dim, d), *_unflatten(shape)),
        nn.Sequential(*_flatten(shape), quadratic_discriminator(d, constant=constant)),
    )


def _flatten(shape: tuple[int, ...]) -> list[nn.Module]:
    return [] if len(shape) == 1 else [nn.Flatten(1)]


def _unflatten(shape: tuple[int, ...]) -> list[nn.Module]:
    return [] if len(shape) == 1 else [nn.Unflatten(1, shape)]


def _defaults(make: Callable[..., object], *keys: str) -> dict[str, object]:
    parameters = inspect.signature(make).parameters
    return {key: parameters[key].default for key in keys}


_MAKERS = {
    "dcgan": (_dcgan, _defaults(_dcgan, "norm", "spectral", "activation", "last_layer")),
    "linear_quadratic": (_linear_quadratic, _defaults(_linear_quadratic, "constant")),
    "mlp": (_mlp, _defaults(mlp, "activation", "depth", "bias", "glorot")),
    "resnet": (_resnet, _defaults(_resnet, "norm", "spectral", "activation")),
}
