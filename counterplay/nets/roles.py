"""Networks by the part they play in a game.

The factory of a game names the networks it needs by its positional parameters, such as
`bigan(generator, encoder, joint_discriminator, *, ...)`. A name says what goes in and what
comes out, so that every family of networks can build it for the data at hand.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn.functional import one_hot

from counterplay.errors import ConfigError


@dataclass(frozen=True)
class Role:
    """What a network of a game reads and gives.

    Attributes:
        reads: `"x"` for instances, `"z"` for latents, `"y"` for labels, `"d"` for domains,
            `"w"` for weights, in this order of arguments.
        gives: `"x"`, once per domain, `"z"`, or the names of sizes whose sum is the number
            of outputs, where `"1"` is the logit that is high for real.
        features: Whether it also gives its last hidden layer.
        several: The name of the size that says how many of them there are.
    """

    reads: str
    gives: tuple[str, ...]
    features: bool = False
    several: str = ""


ROLES: Mapping[str, Role] = {
    "generator": Role("z", ("x",)),
    "conditional_generator": Role("zy", ("x",)),
    "encoder": Role("x", ("z",)),
    "gaussian_encoder": Role("x", ("z", "z")),
    "discriminator": Role("x", ("1",)),
    "discriminators": Role("x", ("1",), several="n_discriminators"),
    "conditional_discriminator": Role("xy", ("1",)),
    "joint_discriminator": Role("xz", ("1",)),
    "minibatch_discriminator": Role("xw", ("1",)),
    "featured_discriminator": Role("x", ("1",), features=True),
    "auxiliary_discriminator": Role("x", ("1", "n_classes")),
    "class_discriminator": Role("x", ("n_classes", "1")),
    "featured_classifier": Role("x", ("n_classes",), features=True),
    "code_discriminator": Role("x", ("1", "n_categories", "n_continuous")),
    "task_discriminator": Role("x", ("1", "n_tasks")),
    "headed_discriminator": Role("x", ("1", "n_changes")),
    "autoencoder": Role("x", ("x",), features=True),
    "contrastive_discriminator": Role("x", ("1", "n_features", "n_features")),
    "coupled_generator": Role("z", ("x", "x")),
    "coupled_discriminator": Role("xd", ("1",)),
}
Sizes = Mapping[str, int]  # `latent_dim`, `n_classes` and whatever else roles speak of


def roles_of(factory: Callable[..., Any]) -> tuple[str, ...]:
    """The roles of a game's networks: the names of its factory's positional parameters.

    Raises:
        ConfigError: If one of them is none that networks can be built for.
    """
    parameters = inspect.signature(factory).parameters.values()
    names = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    for name in names:
        if name not in ROLES:
            raise ConfigError(
                f"The game {factory.__name__!r} needs a network {name!r}, which cannot be "
                f"built by name; there are {list(ROLES)}. Build it in Python and call the "
                "game's factory."
            )
    return tuple(names)


def sizes_of(factory: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, int]:
    """The sizes that roles may speak of: a game's options that are integers."""
    parameters = inspect.signature(factory).parameters
    values = {name: each.default for name, each in parameters.items()} | dict(options)
    return {name: value for name, value in values.items() if type(value) is int}


def n_given(role: Role, sizes: Sizes) -> int:
    """How many numbers a network gives that gives no instances.

    Raises:
        ConfigError: If the game does not say how large one of its parts is.
    """
    counts = {"1": 1, "z": sizes.get("latent_dim"), **sizes}
    found = [counts.get(name) for name in role.gives]
    if None in found:
        missing = role.gives[found.index(None)]
        raise ConfigError(
            f"A network gives {list(role.gives)}, but the size {missing!r} is not known; "
            f"there are {sorted(sizes)}. Labels give `n_classes`; the rest are options of "
            "the game."
        )
    return sum(count for count in found if count is not None)


class Joined(nn.Module):
    """A network of vectors that reads several inputs side by side, labels as indicators."""

    def __init__(self, network: nn.Module, n_classes: int | None = None):
        super().__init__()
        self.network, self.n_classes = network, n_classes

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network's output for the inputs in one row each."""
        return self.network(torch.cat(_vectors(inputs, self.n_classes), 1))


class Beside(nn.Module):
    """A network of images whose features further inputs join, before a head reads all."""

    def __init__(self, trunk: nn.Module, head: nn.Module, n_classes: int | None = None):
        super().__init__()
        self.trunk, self.head, self.n_classes = trunk, head, n_classes

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """The head's output."""
        return self.head(torch.cat([self.trunk(x), *_vectors(others, self.n_classes)], 1))


class Featured(nn.Module):
    """A network that also gives the features that its last part reads."""

    def __init__(self, body: nn.Module, head: nn.Module):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the features, one row per instance."""
        features = self.body(x)
        return self.head(features), features.flatten(1)


def _vectors(inputs: Sequence[Tensor], n_classes: int | None) -> list[Tensor]:
    """Inputs as rows of numbers, of the dtype of the first that is not a label."""
    numbers = [each for each in inputs if each.is_floating_point()]
    found = []
    for each in inputs:
        if not each.is_floating_point():
            each = one_hot(each, n_classes or -1).to(numbers[0] if numbers else None)
        found.append(each.flatten(1))
    return found
