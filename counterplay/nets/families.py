"""Families of networks by name, each of which builds the networks that a game asks for."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from counterplay import _rng
from counterplay._layers import spectral_norm
from counterplay.errors import ConfigError, GameError
from counterplay.nets import dcgan, resnet, sagan, stylegan2
from counterplay.nets.contrastive import contrastive
from counterplay.nets.coupled import coupled_discriminator, coupled_generator
from counterplay.nets.linear_quadratic import linear_generator, quadratic_discriminator
from counterplay.nets.low_rank import low_rank
from counterplay.nets.minibatch import minibatch_discriminator
from counterplay.nets.mlp import mlp
from counterplay.nets.roles import Beside, Featured, Joined, n_given, Role, ROLES, Sizes


Shape = tuple[int, ...]
_SHARED = ("width", "width_d")  # options that all networks have


def networks(
    name: str,
    roles: Sequence[str],
    shape: Shape,
    sizes: Sizes,
    *,
    width: int = 32,
    width_d: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **options: str | int | bool,
) -> tuple[nn.Module | list[nn.Module], ...]:
    """Fresh networks for the roles of a game, for instances of `shape`.

    Args:
        name: One of `names()`.
        roles: What they are for; see `counterplay.nets.roles`.
        shape: Shape of one instance, such as `(1, 28, 28)` or `(2,)`. A generator of images
            ends in tanh.
        sizes: Sizes that the roles speak of, such as `latent_dim` and `n_classes`.
        width: Channels or units of the hidden layers.
        width_d: The same for networks that give logits, if it differs.
        seed: Determines the first parameters, whatever was drawn before.
        dtype: Of the parameters; that of the data.
        options: Further keywords of the networks; see `options_of`. `norm="batch"` is for
            what makes instances; the others then have no norm.

    Returns:
        One network per role, or a list for a role of several.

    Raises:
        ConfigError: If there are no such networks, or they have no such option or role.
    """
    allowed = options_of(name)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        own = [key for key in allowed if key not in _SHARED]
        raise ConfigError(
            f"The networks {name!r} have no option {unknown[0]!r}; besides `latent_dim`, "
            f"`width`, `width_d`, `seed` and `dtype` they have {own}."
        )
    found = []
    with _rng.seeded(seed, "nets", name):
        for wanted in roles:
            role = ROLES[wanted]
            wide = width_d if width_d and "1" in role.gives else width
            several = [
                _made(name, wanted, tuple(shape), sizes, wide, options).to(dtype)
                for _ in range(sizes[role.several] if role.several else 1)
            ]
            found.append(several if role.several else several[0])
    return tuple(found)


def names() -> tuple[str, ...]:
    """The networks that `networks` knows."""
    return tuple(_MAKERS)


def options_of(name: str) -> Mapping[str, object]:
    """The options that belong to the networks called `name`, with their defaults.

    Raises:
        ConfigError: If there are no such networks.
    """
    if name not in _MAKERS:
        raise ConfigError(f"There are no networks {name!r}; there are {sorted(_MAKERS)}.")
    _, options = _MAKERS[name]
    shared = inspect.signature(networks).parameters
    return {key: shared[key].default for key in _SHARED} | options


def _made(
    name: str,
    wanted: str,
    shape: Shape,
    sizes: Sizes,
    width: int,
    options: Mapping[str, Any],
) -> nn.Module:
    """A network for a role; those of several parts are made of a family's plain ones."""
    make, defaults = _MAKERS[name]
    options = {**defaults, **options}
    composed = name in ("dcgan", "mlp", "resnet")

    def plain(part: str, **others: Any) -> nn.Sequential:
        return make(ROLES[part], shape, sizes, width, **{**options, **others})

    match wanted:
        case "coupled_generator" if composed:
            return coupled_generator(plain("generator"), plain("generator"))
        case "coupled_discriminator" if composed:
            return coupled_discriminator(plain("discriminator"), plain("discriminator"))
        case "contrastive_discriminator" if composed:
            own = (
                {"depth": max(2, options["depth"])}
                if name == "mlp"
                else {"spectral": False}
            )
            return contrastive(
                plain("discriminator", **own),
                n_features=sizes["n_features"],
                activation=options["activation"],
                spectral=options.get("spectral", False),
            )
        case "minibatch_discriminator" if composed:
            own = {} if name == "mlp" else {"spectral": False}
            network = minibatch_discriminator(plain("discriminator", **own))
            return spectral_norm(network) if options.get("spectral") else network
    return make(ROLES[wanted], shape, sizes, width, **options)


def _mlp(role: Role, shape: Shape, sizes: Sizes, width: int, **options) -> nn.Module:
    d = math.prod(shape)
    if role == ROLES["autoencoder"]:
        code = {"latent_dim": _code(width)}
        encoder, decoder = (
            _mlp(ROLES[part], shape, code, width, **options)
            for part in ("encoder", "generator")
        )
        return Featured(encoder, decoder)
    counts = {"x": d, "z": sizes.get("latent_dim", 0), "y": sizes.get("n_classes", 0)}
    n_in = sum(counts[letter] for letter in role.reads)
    if "x" in role.gives:
        output = "tanh" if len(shape) == 3 else None
        layers = [*mlp(n_in, d, width=width, output=output, **options), *_unflatten(shape)]
    else:
        layers = [*mlp(n_in, _n_out(role, sizes), width=width, **options)]
    if len(role.reads) > 1:
        return Joined(nn.Sequential(*layers), sizes.get("n_classes"))
    if role.reads == "x":
        layers = [*_flatten(shape), *layers]
    network = nn.Sequential(*layers)
    return _featured(network) if role.features else network


def _dcgan(
    role: Role,
    shape: Shape,
    sizes: Sizes,
    width: int,
    *,
    norm="group",
    spectral=False,
    activation="silu",
    last_layer="baseline",
) -> nn.Module:
    channels, side = _image(shape, "dcgan")
    n_classes = sizes.get("n_classes")
    common = {"image_size": side, "channels": channels, "width": width}
    if role.gives == ("x",) and "x" not in role.reads:
        n_labels = (n_classes or 0) if "y" in role.reads else 0
        network = dcgan.generator(
            **common,
            latent_dim=sizes["latent_dim"] + n_labels,
            norm=norm,
            activation=activation,
            last_layer=last_layer,
        )
        return Joined(network, n_classes) if n_labels else network
    norm = "none" if norm == "batch" else norm
    reader = {**common, "norm": norm, "spectral": spectral, "activation": activation}
    if role == ROLES["autoencoder"]:
        writer = {**common, "norm": norm, "activation": activation}
        return Featured(
            dcgan.discriminator(**reader, n_out=_code(width)),
            dcgan.generator(**writer, latent_dim=_code(width), last_layer=last_layer),
        )
    if len(role.reads) > 1:  # the other inputs join behind the convolutions
        extra = {"z": sizes.get("latent_dim", 0), "y": n_classes or 0}
        n_in = 4 * width + sum(extra[letter] for letter in role.reads[1:])
        trunk = dcgan.discriminator(**reader, n_out=4 * width)
        head = mlp(n_in, None, depth=1, width=4 * width, activation=activation)
        return Beside(trunk, head, n_classes)
    network = dcgan.discriminator(**reader, n_out=_n_out(role, sizes))
    return _featured(network) if role.features else network


def _resnet(
    role: Role,
    shape: Shape,
    sizes: Sizes,
    width: int,
    *,
    norm="batch",
    spectral=True,
    activation="silu",
) -> nn.Module:
    channels, side = _image(shape, "resnet")
    common = {
        "image_size": side,
        "channels": channels,
        "width": width,
        "activation": activation,
    }
    if _is_generator("resnet", role):
        return resnet.generator(**common, latent_dim=sizes["latent_dim"], norm=norm)
    return resnet.discriminator(**common, spectral=spectral)


def _sagan(
    role: Role,
    shape: Shape,
    sizes: Sizes,
    width: int,
    *,
    norm="batch",
    spectral=True,
    activation="silu",
    attention=True,
) -> nn.Module:
    channels, side = _image(shape, "sagan")
    common = {
        "image_size": side,
        "channels": channels,
        "n_classes": sizes["n_classes"] if "y" in role.reads else None,
        "width": width,
        "spectral": spectral,
        "activation": activation,
        "attention": attention,
    }
    if _is_generator("sagan", role, labels=True):
        return sagan.generator(**common, latent_dim=sizes["latent_dim"], norm=norm)
    return sagan.discriminator(**common)


def _stylegan2(
    role: Role,
    shape: Shape,
    sizes: Sizes,
    width: int,
    *,
    activation="silu",
    equalised=True,
    depth=8,
    rank=0,
) -> nn.Module:
    channels, side = _image(shape, "stylegan2")
    common = {
        "image_size": side,
        "channels": channels,
        "width": width,
        "activation": activation,
        "equalised": equalised,
    }
    if _is_generator("stylegan2", role):
        network = stylegan2.generator(**common, latent_dim=sizes["latent_dim"], depth=depth)
    else:
        network = stylegan2.discriminator(**common)
    return low_rank(network, rank) if rank else network


def _linear_quadratic(
    role: Role, shape: Shape, sizes: Sizes, width: int, *, constant=False
) -> nn.Module:
    del width  # there is no hidden layer
    d = math.prod(shape)
    if _is_generator("linear_quadratic", role):
        return nn.Sequential(linear_generator(sizes["latent_dim"], d), *_unflatten(shape))
    return nn.Sequential(*_flatten(shape), quadratic_discriminator(d, constant=constant))


def _n_out(role: Role, sizes: Sizes) -> int | None:
    """Numbers that go out; None is a single logit, without an axis of its own."""
    return None if role.gives == ("1",) else n_given(role, sizes)


def _featured(network: nn.Sequential) -> Featured:
    """The network, which also gives what its last linear layer reads."""
    last = max(i for i, layer in enumerate(network) if isinstance(layer, nn.Linear))
    return Featured(network[:last], network[last:])


def _code(width: int) -> int:
    """The numbers that an autoencoder has for an instance."""
    return max(2, width // 4)


def _is_generator(name: str, role: Role, *, labels: bool = False) -> bool:
    """Whether a family of generators and discriminators alone is asked for the former.

    Raises:
        ConfigError: If it is asked for something else.
    """
    plain = ["generator", "discriminator"]
    plain += [f"conditional_{part}" for part in plain] if labels else []
    if role not in [ROLES[part] for part in plain]:
        raise ConfigError(
            f"The networks {name!r} are a plain generator and discriminator, but the game "
            f"needs one from {role.reads!r} to {list(role.gives)}. Use 'mlp' or 'dcgan'."
        )
    return role.gives == ("x",)


def _image(shape: Shape, name: str) -> tuple[int, int]:
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


def _flatten(shape: Shape) -> list[nn.Module]:
    return [] if len(shape) == 1 else [nn.Flatten(1)]


def _unflatten(shape: Shape) -> list[nn.Module]:
    return [] if len(shape) == 1 else [nn.Unflatten(1, shape)]


def _defaults(make: Callable[..., object], *keys: str) -> dict[str, object]:
    parameters = inspect.signature(make).parameters
    return {key: parameters[key].default for key in keys}


_MAKERS = {
    "dcgan": (_dcgan, _defaults(_dcgan, "norm", "spectral", "activation", "last_layer")),
    "linear_quadratic": (_linear_quadratic, _defaults(_linear_quadratic, "constant")),
    "mlp": (_mlp, _defaults(mlp, "activation", "depth", "bias", "glorot")),
    "resnet": (_resnet, _defaults(_resnet, "norm", "spectral", "activation")),
    "sagan": (_sagan, _defaults(_sagan, "norm", "spectral", "activation", "attention")),
    "stylegan2": (
        _stylegan2,
        _defaults(_stylegan2, "activation", "equalised", "depth", "rank"),
    ),
}
