"""Features of a small classifier trained on the data at hand."""

import json
import math
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn, Tensor

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.features import _frozen
from counterplay.features._network import SmoothNetwork
from counterplay.features.from_module import check_name
from counterplay.game import Columns


@dataclass(frozen=True)
class Classifier:
    """The last hidden layer of a classifier, and its logits.

    Attributes:
        name: What it is called in the names of results.
        shape: Shape of an instance.
        n_features: Number of columns.
        n_classes: Number of logits.
        accuracy: Share of instances held out of its own training that it gets right.
        fingerprint: Hash of its weights.
        trained_on: Ids of the instances it was trained on, for tests of what is disjoint.
        network: What gives features and logits, frozen.
    """

    name: str
    shape: tuple[int, ...]
    n_features: int
    n_classes: int
    accuracy: float
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

    def logits(self, x: Tensor) -> Tensor:
        """The logits, one row per instance; differentiable in `x`."""
        return self.network.head(self(x))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, which is there whole or not at all."""
        path = Path(path)
        facts = {name: getattr(self, name) for name in _FACTS}
        content = safetensors.torch.save(
            self.network.state_dict(), metadata={_FORMAT: json.dumps(facts)}
        )
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        partial.write_bytes(content)
        partial.replace(path)


_FORMAT = "counterplay.features.classifier"
_FACTS = (
    "name",
    "shape",
    "n_features",
    "n_classes",
    "accuracy",
    "fingerprint",
    "trained_on",
)


def load(path: str | os.PathLike[str]) -> Classifier:
    """Read a classifier that was saved.

    Raises:
        DataError: If the file is missing, holds something else, or has been changed.
    """
    if not Path(path).is_file():
        raise DataError(
            f"There is no file {str(path)!r} to read a feature classifier from."
        )
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_FORMAT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts["shape"] = tuple(facts["shape"])
        facts["trained_on"] = tuple(facts["trained_on"])
        with torch.random.fork_rng():  # weights are drawn before they are overwritten
            network = SmoothNetwork(facts["shape"], facts["n_features"], facts["n_classes"])
        network.float().load_state_dict(tensors)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{str(path)!r} holds no feature classifier: {error}. Write one by its `save`."
        ) from error
    found = _frozen.fingerprint(network)
    if found != facts["fingerprint"]:
        raise DataError(
            f"The weights in {str(path)!r} have fingerprint {found!r}, but were saved with "
            f"{facts['fingerprint']!r}. Metrics on them would not be those of the name; "
            "train the classifier again."
        )
    return Classifier(**facts, network=_frozen.frozen(network))


def classifier(
    data: Columns,
    *,
    n_features: int = 128,
    n_steps: int = 600,
    batch_size: int = 64,
    lr: float = 3e-3,
    seed: int = 0,
    name: str = "classifier",
) -> Classifier:
    """Train a small smooth classifier, whose last hidden layer gives features.

    Images of 8 pixels a side and more get a convolution, SiLU and 2 x 2 mean pooling until
    fewer than 8 are left, everything else one layer of 128 SiLU; then come `n_features`
    sigmoids. All is smooth, as kinks make the influence of single instances jump. A fifth
    of the instances only measures the accuracy. The result depends on data and options
    alone, and PyTorch's global generator stays as it was.

    Args:
        data: Labelled instances, columns "x" and "y": neither the game's training data nor
            what a gain is proven on. The validation split will do.
        n_features: Number of features.
        n_steps: Length of training, in steps of Adam.
        batch_size: Instances of a step.
        lr: Learning rate at the start; it falls to 0 along a line.
        seed: Seed of the weights, the batches and the split.
        name: What the map is called in the names of results.

    Returns:
        The map, frozen.

    Raises:
        DataError: If there are no labels, or fewer than two classes.
    """
    check_name(name)
    x, y, n_classes = _labelled(data)
    order = _rng.permutation(len(x), seed, "classifier", "split").to(x.device)
    judged, learnt = order.tensor_split([max(1, len(x) // 5)])
    shape = tuple(x.shape[1:])
    with _rng.seeded(seed, "classifier", "weights"), torch.enable_grad():
        network = SmoothNetwork(shape, n_features, n_classes).to(x.device, x.dtype)
        _train(network, x[learnt], y[learnt], n_steps, batch_size, lr, seed)
    network = _frozen.frozen(network)
    accuracy = _accuracy(name, network, x[judged], y[judged])
    fingerprint = _frozen.fingerprint(network)
    return Classifier(
        name, shape, n_features, n_classes, accuracy, fingerprint, data.ids, network
    )


def _labelled(data: Columns) -> tuple[Tensor, Tensor, int]:
    if "y" not in data.tensors:
        raise DataError(
            f"A feature classifier learns from labels, but there is no column 'y' in "
            f"{sorted(data.tensors)}. Give labelled data, or use `features.identity()` or "
            "`features.from_module`."
        )
    if data["y"].is_floating_point() or data["y"].dim() != 1:
        raise DataError(
            f"Column 'y' is {data['y'].dtype} of shape {tuple(data['y'].shape)}, but a "
            "feature classifier needs one integer label per instance. Convert it, for "
            "example by `y.long()`."
        )
    classes, y = data["y"].unique(return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"Column 'y' has {len(classes)} classes in {len(data)} instances, but features "
            "that tell classes apart need at least 2. Give data of more classes, or use "
            "`features.identity()` or `features.from_module`."
        )
    return data["x"].to(torch.float32), y, len(classes)


def _train(
    network: SmoothNetwork,
    x: Tensor,
    y: Tensor,
    n_steps: int,
    batch_size: int,
    lr: float,
    seed: int,
) -> None:
    network.standardise(x)
    optimizer = torch.optim.Adam(network.parameters())
    n_batches = max(1, len(x) // batch_size)
    order = torch.empty(0)
    for step in range(n_steps):
        epoch, batch = divmod(step, n_batches)
        if batch == 0:
            order = _rng.permutation(len(x), seed, "classifier", epoch).to(x.device)
        index = order[batch * batch_size : (batch + 1) * batch_size]
        optimizer.param_groups[0]["lr"] = lr * (1 - step / n_steps)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[index]), y[index]).backward()
        optimizer.step()


def _accuracy(name: str, network: SmoothNetwork, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        guesses = [network(part).argmax(1) for part in x.split(256)]
    accuracy = float((torch.cat(guesses) == y).double().mean())
    chance = float(y.bincount().max()) / len(y)
    if accuracy <= chance + 2 * math.sqrt(chance * (1 - chance) / len(y)):
        warnings.warn(
            f"Feature classifier {name!r} gets {accuracy:.0%} of {len(y)} held-out "
            f"instances right, and always naming the commonest class gets {chance:.0%}. "
            "Its features hardly see what tells the classes apart, so metrics on them say "
            "little. Check column 'y', give more instances, or train longer (`n_steps`).",
            stacklevel=3,
        )
    return accuracy
