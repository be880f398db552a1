"""Small games, data and metrics that the tests share, all in float64.

A game in the folder `games` is tested on the networks below; one with other players gives
its own in `MAKERS`, and settings that deserve the contract in `OPTIONS`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn, Tensor

from counterplay import _rng, games, nets, optim
from counterplay.game import apply_of, Columns, Game
from counterplay.metrics.target import of_samples, of_state, Target
from counterplay.nets import (
    gaal,
    linear_generator,
    lstm_discriminator,
    lstm_generator,
    quadratic_discriminator,
    spectral_norm,
    virtual_batch_norm,
)


@dataclass(frozen=True)
class Case:
    """A game with data to play it on and a smooth metric of what it generates."""

    game: Game
    data: Columns
    metric: Target


def points(n: int = 8, *, seed: int = 0, d: int = 2) -> Columns:
    """Normal points."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return Columns({"x": x}, tuple(f"{seed}-{i}" for i in range(n)), kind="point")


def labelled(n: int = 8, **options: Any) -> Columns:
    """Normal points of two classes."""
    data = points(n, **options)
    y = torch.arange(n) % 2
    return replace(data, tensors={**data.tensors, "y": y}, class_names=("even", "odd"))


def images(n: int = 8) -> Columns:
    """Normal images of 4 x 4 pixels."""
    data = points(n, d=16)
    return replace(data, tensors={"x": data["x"].view(n, 1, 4, 4)}, kind="image")


def networks(
    *, batch_norm: bool = False, spectral: bool = False, dropout: float = 0.0
) -> tuple[nn.Module, nn.Module]:
    """A generator 2-4-2 and a discriminator 2-4-1."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = [nn.BatchNorm1d(4)] if batch_norm else []
        generator = nn.Sequential(nn.Linear(2, 4), *norm, nn.Tanh(), nn.Linear(4, 2))
        drop = [nn.Dropout(dropout)] if dropout else []
        discriminator = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), *drop, nn.Linear(4, 1))
    generator, discriminator = generator.double(), discriminator.double()
    return generator, spectral_norm(discriminator) if spectral else discriminator


def virtual_networks() -> tuple[nn.Module, nn.Module]:
    """The same with virtual batch norm in both, on points that are no instances."""
    generator, discriminator = networks(batch_norm=True)
    assert isinstance(discriminator, nn.Sequential)
    discriminator.insert(1, nn.BatchNorm1d(4).double())
    latents, held_out = (points(5, seed=seed)["x"] for seed in (1, 2))
    return virtual_batch_norm(generator, latents), virtual_batch_norm(
        discriminator, held_out
    )


def wave(samples: Tensor) -> Tensor:
    """A smooth number of some samples."""
    return samples.sin().mean() + samples.square().mean() / 3


def wave_of(game: Game, *, averaged: bool = False, seed: int = 1) -> Target:
    """The metric `wave` on five samples of a game."""
    return of_samples(wave, game, n=5, seed=seed, averaged=averaged, higher_is_better=True)


def gan(
    *,
    batch_norm: bool = False,
    spectral: bool = False,
    dropout: float = 0.0,
    virtual: bool = False,
    **options: Any,
) -> Case:
    """The GAN on the networks above, or on images to augment; `options` are the game's."""
    pair, data = (
        networks(batch_norm=batch_norm, spectral=spectral, dropout=dropout),
        points(),
    )
    if virtual:
        pair = virtual_networks()
    if "augment" in options:
        data = images()
        pair = nets.pair("mlp", (1, 4, 4), latent_dim=2, width=4, dtype=torch.float64)
    options = {"optimizer": "sgd", "lr_g": 0.1, "lr_d": 0.1, **options}
    game = games.load("gan")(*pair, latent_dim=2, **options)
    return Case(game, data, wave_of(game, averaged=bool(game.averages)))


def lqgan(**options: Any) -> Case:
    """The linear-quadratic GAN in one dimension, where its end has a closed form."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, discriminator = linear_generator(1, 1), quadratic_discriminator(1)
    nets = generator.double(), discriminator.double()
    game = games.load("lqgan")(*nets, latent_dim=1, **options)
    return Case(game, points(d=1), wave_of(game, averaged=bool(game.averages)))


def mad_gan(**options: Any) -> Case:
    """MAD-GAN on windows of 4 steps of a noisy wave in two channels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = lstm_generator(1, 2, width=3)
        discriminator = lstm_discriminator(2, width=3)
    options = {"optimizer": "sgd", "lr_g": 0.1, "lr_d": 0.1, **options}
    game = games.load("mad_gan")(
        generator.double(), discriminator.double(), window=4, latent_dim=1, **options
    )
    time = torch.arange(11, dtype=torch.float64)
    series = torch.stack([time.sin(), time.cos()], 1) + points(11).tensors["x"] / 10
    windows = series.unfold(0, 4, 1).transpose(1, 2)
    data = Columns({"x": windows}, tuple(map(str, range(8))), kind="window")
    return Case(game, data, wave_of(game, averaged=bool(game.averages)))


def rival() -> Case:
    """The GAN with Adam, alternating, which most tests of the engine play."""
    return gan(optimizers=dict.fromkeys("GD", OPTIMIZERS["adam"]))


def ridge(
    n: int = 8, *, lr: float = 0.3, decay: float = 0.1, momentum: float = 0.0
) -> Case:
    """One player, linear regression with L2 decay, and a linear metric of its slopes."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(n, generator=generator, dtype=torch.float64)
    data = Columns({"x": x, "y": y}, tuple(map(str, range(n))))
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)

    def loss(params, batch, noise, weights):
        slopes = params["D"]["weight"][0]
        errors = batch["x"] @ slopes - batch["y"]
        return (weights * errors.square()).mean() / 2 + decay / 2 * slopes.square().sum()

    game = Game(
        modules={"D": model},
        losses={"D": loss},
        optimizers={"D": optim.sgd(lr, momentum=momentum)},
        schedule=(("D",),),
        draw=lambda size, generator, params: {},
    )
    return Case(game, data, of_state(_slope, name="slope", higher_is_better=True))


SLOPE = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def _slope(params):
    return params["D"]["weight"][0] @ SLOPE


def mean(lr: float = 0.1) -> Case:
    """One player, one number, whose loss has the same curvature on every batch."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)

    def loss(params, batch, noise, weights):
        theta = params["D"]["weight"][0, 0]
        # The pull of the data is weighted, the curvature is not.
        return (
            theta.square() / 2
            - theta * (weights * batch["x"][:, 0]).mean()
            + ((weights - 1) * theta.square()).mean() / 2
        )

    game = Game(
        modules={"D": model},
        losses={"D": loss},
        optimizers={"D": optim.sgd(lr)},
        schedule=(("D",),),
        draw=lambda size, generator, params: {},
    )
    metric = of_state(
        lambda params: params["D"]["weight"].sum(), name="mean", higher_is_better=True
    )
    return Case(game, points(d=1), metric)


class Number(nn.Module):
    """A player that is one number."""

    def __init__(self, value: float):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))


def bilinear(*, simultaneous: bool, lr: float = 0.1) -> Case:
    """`x y`, which X lowers and Y raises, from (1, 0.5), times the weighted mean of a column.

    The column `"value"` has mean 1, so at weight 1 the game is `x y` itself.
    """

    def product(params, batch, weights):
        x, y = params["X"]["value"], params["Y"]["value"]
        return x * y * (weights * batch["value"]).mean()

    game = Game(
        modules={"X": Number(1.0), "Y": Number(0.5)},
        losses={
            "X": lambda params, batch, noise, weights: product(params, batch, weights),
            "Y": lambda params, batch, noise, weights: -product(params, batch, weights),
        },
        optimizers=dict.fromkeys("XY", optim.sgd(lr)),
        schedule=(("X", "Y"),) if simultaneous else (("X",), ("Y",)),
        draw=lambda size, generator, params: {},
        readers=("X", "Y"),
    )
    values = torch.tensor([0.5, 1.5, 0.25, 1.75, 1.0, 1.0, 0.0, 2.0], dtype=torch.float64)
    metric = of_state(lambda params: params["X"]["value"], name="x", higher_is_better=True)
    return Case(game, Columns({"value": values}, tuple("abcdefgh")), metric)


def triangle() -> Case:
    """Three players; A and C read data, B and the metric do not."""

    def pull(params, batch, noise, weights):
        x = batch["x"][:, 0] + noise["z"]
        target = torch.tanh(params["B"]["value"])
        return (weights * (params["A"]["value"] * x - target).square()).mean()

    def push(params, batch, noise, weights):
        return (params["B"]["value"] - params["A"]["value"] * params["C"]["value"]).square()

    def turn(params, batch, noise, weights):
        value = params["C"]["value"]
        return (weights * torch.cos(value * batch["x"][:, 1])).mean() * params["B"]["value"]

    game = Game(
        modules={"A": Number(0.3), "B": Number(-0.4), "C": Number(0.8)},
        losses={"A": pull, "B": push, "C": turn},
        optimizers={
            "A": optim.adam(0.05, eps_root=1e-4),
            "B": optim.sgd(0.1, momentum=0.5),
            "C": optim.rmsprop(0.05, eps_root=1e-4),
        },
        schedule=(("A",), ("B",), ("B", "C"), ("A", "C"), ("B",)),
        draw=lambda size, generator, params: {"z": torch.randn(size, generator=generator)},
        readers=("A", "C"),
    )
    metric = of_state(
        lambda params: params["B"]["value"].sin(), name="b", higher_is_better=True
    )
    return Case(game, points(), metric)


def latents_of(case: Case, seed: int = 1) -> Tensor:
    """The latents of `wave_of`."""
    return case.game.draw(5, _rng.generator(seed, "metric"), {})["z"]


OPTIMIZERS: Mapping[str, optim.Optimizer] = {
    "sgd": optim.sgd(0.1),
    "momentum": optim.sgd(0.1, momentum=0.9),
    "nesterov": optim.sgd(0.1, momentum=0.8, nesterov=True, weight_decay=0.05),
    "rmsprop": optim.rmsprop(0.02, alpha=0.9, eps_root=1e-4),
    "adam": optim.adam(0.02, betas=(0.5, 0.9), eps_root=1e-4),
    "adamw": optim.adamw(0.02, betas=(0.5, 0.9), eps_root=1e-4, weight_decay=0.1),
}
SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "simultaneous": {"simultaneous": True},
    "alternating": {},
    "n_critic=3": {"n_critic": 3},
}
EXTRAS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "moving average": {"ema_halflife": 2.0},
    "spectral norm": {"spectral": True},
    "gradient penalty": {"gradient_penalty": 2.0},
    "batch norm": {"batch_norm": True},
    "everything": {
        "ema_halflife": 2.0,
        "spectral": True,
        "gradient_penalty": 2.0,
        "batch_norm": True,
    },
}


def combined(optimizer: str, schedule: str, extra: str) -> Case:
    """A small GAN with the named settings."""
    return gan(
        optimizers=dict.fromkeys("GD", OPTIMIZERS[optimizer]),
        **SCHEDULES[schedule],
        **EXTRAS[extra],
    )


def gaal_case(name: str, **options: Any) -> Case:
    """A small SO-GAAL or MO-GAAL on rows in [0, 1], with a smooth number of D."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = {"n_generators": 3} if name == "mo_gaal" else {}
        G = gaal.generators(2, 3) if own else gaal.generator(2)
        D = gaal.discriminator(2, 4)
    for param in G.parameters():  # away from the identity, where rectifiers have kinks
        param.data += 0.1 * torch.rand(param.shape, generator=_rng.generator(0, "case"))
    settings = {"n_active": 2, "n_frozen": 2, "lr_g": 0.1, "lr_d": 0.1, **own, **options}
    game = games.load(name)(G.double(), D.double(), **settings)
    data = points()
    x = data["x"].sigmoid()
    metric = of_state(
        lambda params: wave(apply_of("D", D.double()).evaluated(params, x[:5] + 0.01)),
        name="wave",
        higher_is_better=True,
        averaged=bool(game.averages),
    )
    return Case(game, Columns({"x": x}, data.ids), metric)


def so_gaal(**options: Any) -> Case:
    """A small SO-GAAL."""
    return gaal_case("so_gaal", **options)


def mo_gaal(**options: Any) -> Case:
    """A small MO-GAAL of three generators."""
    return gaal_case("mo_gaal", **options)


MAKERS: Mapping[str, Callable[..., Case]] = {
    "gan": gan,
    "lqgan": lqgan,
    "mad_gan": mad_gan,
    "mo_gaal": mo_gaal,
    "so_gaal": so_gaal,
}
OPTIONS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "gan": (
        {},
        {"loss": "minimax", "r1": 1.0, "r2": 1.0},
        {"loss": "least_squares", "optimizer": "adam", "ema_halflife": 2.0},
        {"loss": "hinge", "simultaneous": True, "spectral": True},
        {"loss": "wasserstein", "n_critic": 2, "gradient_penalty": 10.0},
        {"relativistic": "paired", "r1": 1.0, "r2": 1.0},
        {"relativistic": "average", "loss": "minimax", "n_critic": 2},
        {"relativistic": "average", "loss": "least_squares", "simultaneous": True},
        {"augment": ("colour", "shift", "cut"), "relativistic": "paired", "r1": 1.0},
        {"virtual": True},
    ),
    "infogan": ({"latent_dim": 5, "n_categories": 2, "n_continuous": 2},),
    "gaan": ({}, {"distance": "data", "generator_reconstructs": False, "n_critic": 2}),
    "ebgan": ({}, {"pulling_away": 0.1, "margin": 1.0}),
    "gman": ({}, {"n_discriminators": 2, "harshness": 0.0}),
    "amgan": (
        {},
        {"predefined": True, "latent_dim": 3},
        *({"objective": name} for name in ("label", "gan", "acgan")),
    ),
    "cogan": ({}, {"domain": 1, "loss": "hinge"}),
    "infomax_gan": ({"n_features": 3, "n_critic": 2},),
    "unrolled": ({"n_foreseen": 2}, {"loss": "non_saturating", "simultaneous": False}),
    "stylegan2": ({"ema_halflife": 2.0}, {"r1": 0.0, "ema_halflife": None}),
    "lqgan": ({}, {"whitened": True, "simultaneous": True, "ema_halflife": 2.0}),
    "mo_gaal": ({}, {"ema_halflife": 2.0, "decay": 0.5}),
    "so_gaal": ({}, {"ema_halflife": 2.0, "decay": 0.5}),
    "mad_gan": (
        {},
        {"loss": "least_squares", "n_generator": 1, "ema_halflife": 2.0},
        {"r1": 1.0, "optimizer": "adam"},
    ),
}
PLAYED = tuple(
    (name, options) for name in games.names() for options in OPTIONS.get(name, ({},))
)


def make(name: str, **options: Any) -> Case:
    """The toy of a game."""
    if name in MAKERS:
        return MAKERS[name](**options)
    factory = games.load(name)
    parameters = inspect.signature(factory).parameters
    sizes = {"latent_dim": 2, "n_classes": 2}
    options = {k: v for k, v in sizes.items() if k in parameters} | options
    roles = nets.roles_of(factory)
    found = nets.networks(
        "mlp",
        roles,
        (2,),
        nets.sizes_of(factory, options),
        width=4,
        depth=1,
        dtype=torch.float64,
    )
    game = factory(*found, **options)
    return Case(game, labelled(), wave_of(game, averaged=bool(game.averages)))
