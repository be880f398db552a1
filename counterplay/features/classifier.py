"""Features of a small classifier trained on the data at hand."""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import nn, Tensor

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.features import _frozen, _trained
from counterplay.features._map import check_name
from counterplay.features._network import SmoothNetwork
from counterplay.game import Columns


@dataclass(frozen=True, kw_only=True)
class Classifier(_trained.AbstractTrained):
    """The last hidden layer of a classifier, and its logits.

    Attributes:
        n_classes: Number of logits.
        accuracy: Share of instances held out of its own training that it gets right.
    """

    n_classes: int
    accuracy: float

    def logits(self, x: Tensor) -> Tensor:
        """The logits, one row per instance; differentiable in `x`."""
        return self.network.head(self(x))


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
    of the instances only measures the accuracy. It learns in float32, and gives features in
    float64 if the data are. The result depends on data and options alone, and PyTorch's
    global generator stays as it was.

    Args:
        data: Labelled instances, columns "x" and "y": neither the game's training data nor
            what a gain is proven on. The validation split will do. Instances whose label is
            -1 have none, and are left out.
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
    _trained.check_options(
        n_features=n_features, n_steps=n_steps, batch_size=batch_size, lr=lr
    )
    data = _labelled(data)
    x = data["x"].to(torch.float32)
    classes, y = data["y"].unique(return_inverse=True)
    judged, learnt = _trained.divided(x, seed, "classifier")
    shape = tuple(x.shape[1:])
    with _rng.seeded(seed, "classifier", "weights"), torch.enable_grad():
        network = SmoothNetwork(shape, n_features, len(classes)).to(x.device, x.dtype)
        network.standardise(x[learnt])
        _trained.train(
            network,
            lambda i: nn.functional.cross_entropy(network(x[learnt[i]]), y[learnt[i]]),
            len(learnt),
            purpose="classifier",
            n_steps=n_steps,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
        )
    accuracy = _accuracy(name, network, x[judged], y[judged])
    network = _trained.finished(network, data)
    return Classifier(
        name=name,
        shape=shape,
        n_features=n_features,
        fingerprint=_frozen.fingerprint(network),
        trained_on=data.ids,
        network=network,
        n_classes=len(classes),
        accuracy=accuracy,
    )


def _labelled(data: Columns) -> Columns:
    if "y" not in data.tensors:
        raise DataError(
            f"A feature classifier learns from labels, but there is no column 'y' in "
            f"{sorted(data.tensors)}. Give labelled data, or use `features.autoencoder`, "
            "`features.identity()` or `features.from_module`."
        )
    if data["y"].is_floating_point() or data["y"].dim() != 1:
        raise DataError(
            f"Column 'y' is {data['y'].dtype} of shape {tuple(data['y'].shape)}, but a "
            "feature classifier needs one integer label per instance. Convert it, for "
            "example by `y.long()`."
        )
    labelled = data.select((data["y"] != -1).nonzero().squeeze(1))
    n_classes = len(labelled["y"].unique())
    if n_classes < 2:
        raise DataError(
            f"Column 'y' has {n_classes} classes in {len(labelled)} labelled instances of "
            f"{len(data)} (-1 is no label), but features that tell classes apart need at "
            "least 2. Give data of more classes, or use `features.autoencoder`, "
            "`features.identity()` or `features.from_module`."
        )
    return labelled


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
