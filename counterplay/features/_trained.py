"""What feature maps share that are trained on the data at hand."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from counterplay import _rng
from counterplay._tensor_files import write_tensors
from counterplay.errors import ConfigError, DataError
from counterplay.features import _frozen
from counterplay.features._network import SmoothNetwork
from counterplay.game import Columns


@dataclass(frozen=True, kw_only=True)
class AbstractTrained:
    """The last hidden layer of a smooth network.

    Attributes:
        name: What it is called in the names of results.
        shape: Shape of an instance.
        n_features: Number of columns.
        fingerprint: Hash of its weights.
        trained_on: Ids of the instances it was trained on, for tests of what is disjoint.
        network: What gives the features, frozen.
    """

    name: str
    shape: tuple[int, ...]
    n_features: int
    fingerprint: str
    trained_on: tuple[str, ...] = field(repr=False)
    network: SmoothNetwork = field(repr=False)

    def __call__(self, x: Tensor) -> Tensor:
        """The features, one row per instance, from 0 to 1 each; differentiable in `x`.

        Raises:
            DataError: If instances have another shape than those it was trained on.
        """
        if x.shape[1:] != self.shape:
            raise DataError(
                f"Feature map {self.name!r} was trained on instances of shape "
                f"{self.shape}, but is given {tuple(x.shape[1:])}. Train one on data of "
                "that shape."
            )
        return self.network.features(x.to(self.network.mean))  # its device and dtype

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, which is there whole or not at all."""
        facts = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "network"
        }
        tensors = self.network.state_dict()
        write_tensors(Path(path), self.kind(), facts, tensors)

    @classmethod
    def kind(cls) -> str:
        """What its files say they hold."""
        return f"features.{cls.__name__.lower()}"

    @classmethod
    def from_parts(cls, facts: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        """Put together what `save` has written.

        Raises:
            DataError: If the weights are not those that were saved.
        """
        facts["shape"] = tuple(facts["shape"])
        facts["trained_on"] = tuple(facts["trained_on"])
        with torch.random.fork_rng():  # weights are drawn before they are overwritten
            network = SmoothNetwork(
                facts["shape"], facts["n_features"], facts.get("n_classes")
            )
        network.to(tensors["mean"].dtype).load_state_dict(tensors)
        found = _frozen.fingerprint(network)
        if found != facts["fingerprint"]:
            raise DataError(
                f"The weights have fingerprint {found!r}, but were saved with "
                f"{facts['fingerprint']!r}. Metrics on them would not be those of the name."
            )
        return cls(**facts, network=_frozen.frozen(network))


def check_options(**options: float) -> None:
    """Refuse sizes and rates with which nothing could be learnt.

    Raises:
        ConfigError: If one is not above 0.
    """
    for name, value in options.items():
        if not value > 0:
            raise ConfigError(f"`{name}` must be above 0, got {value}.")


def divided(x: Tensor, seed: int, purpose: str) -> tuple[Tensor, Tensor]:
    """Indices of a fifth of the instances, to judge by, and of the others, to learn from.

    Raises:
        DataError: If there are fewer than two instances, or each is a bare number.
    """
    if x.dim() < 2:
        raise DataError(
            f"Column 'x' has shape {tuple(x.shape)}, but an instance must be a row or an "
            "image. Use `x[:, None]` for rows of one value."
        )
    if len(x) < 2:
        raise DataError(
            f"There are {len(x)} instances, but training a feature map needs some to learn "
            "from and some to be judged by: at least 2, and rather hundreds."
        )
    order = _rng.permutation(len(x), seed, purpose, "split").to(x.device)
    judged, learnt = order.tensor_split([max(1, len(x) // 5)])
    return judged, learnt


def train(
    network: SmoothNetwork,
    loss: Callable[[Tensor], Tensor],
    n: int,
    *,
    purpose: str,
    n_steps: int,
    batch_size: int,
    lr: float,
    seed: int,
) -> None:
    """Minimise a loss of batches by Adam; the learning rate falls to 0 along a line.

    Args:
        network: What is trained, in place.
        loss: From the indices of a batch to a scalar.
        n: Number of instances.
        purpose: What the order of the instances is drawn for.
        n_steps: Steps of Adam.
        batch_size: Instances of a step.
        lr: Learning rate at the start.
        seed: Seed of the order.
    """
    device = network.mean.device
    optimizer = torch.optim.Adam(network.parameters())
    n_batches = max(1, n // batch_size)
    order = torch.empty(0)
    for step in range(n_steps):
        epoch, batch = divmod(step, n_batches)
        if batch == 0:
            order = _rng.permutation(n, seed, purpose, epoch).to(device)
        index = order[batch * batch_size : (batch + 1) * batch_size]
        optimizer.param_groups[0]["lr"] = lr * (1 - step / n_steps)
        optimizer.zero_grad()
        loss(index).backward()
        optimizer.step()


def finished(network: SmoothNetwork, data: Columns) -> SmoothNetwork:
    """The network, frozen; in float64 if the data are, so that features round no more."""
    wider = torch.promote_types(data["x"].dtype, network.mean.dtype)
    return _frozen.frozen(network).to(wider)
