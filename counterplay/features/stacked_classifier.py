"""Features and logits channel by channel, for channels that are images themselves."""

from dataclasses import dataclass

import torch
from torch import Tensor

from counterplay.errors import DataError
from counterplay.features._map import identified
from counterplay.features.classifier import Classifier, classifier
from counterplay.game import Columns


@dataclass(frozen=True)
class StackedClassifier:
    """A classifier of single channels, whose rows for each image stand side by side.

    Attributes:
        channel: The classifier of one channel.
        n_stacked: Number of channels.
        trained_on: Ids of the images whose channels it was trained on.
    """

    channel: Classifier
    n_stacked: int
    trained_on: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called in the names of results."""
        return f"stacked_{self.channel.name}"

    @property
    def fingerprint(self) -> str:
        """Hash of the classifier's weights and the number of channels."""
        return identified(self.channel.fingerprint, str(self.n_stacked))

    def __call__(self, x: Tensor) -> Tensor:
        """The features of all channels, one row per image; differentiable in `x`."""
        return self.channel(_channels(x)).reshape(len(x), -1)

    def logits(self, x: Tensor) -> Tensor:
        """The logits of all channels, one row per image; differentiable in `x`."""
        return self.channel.logits(_channels(x)).reshape(len(x), -1)


def stacked_classifier(
    data: Columns, *, n_features: int = 128, n_steps: int = 600, seed: int = 0
) -> StackedClassifier:
    """Train the classifier that counts the modes of Stacked-MNIST.

    It learns to tell the digit in one channel, so 1,000 modes need no more than ten
    classes; `stacked_modes_covered` and `stacked_reverse_kl` read its logits.

    Args:
        data: Images whose label has one decimal digit per channel, as `stacked_mnist` has;
            not the game's training data. The validation split will do.
        n_features: Number of features of a channel.
        n_steps: Length of training, in steps of Adam.
        seed: Seed of the weights, the batches and the split.

    Returns:
        The map, frozen.
    """
    channel = classifier(
        unstacked(data), n_features=n_features, n_steps=n_steps, seed=seed
    )  # fmt: skip
    return StackedClassifier(channel, data["x"].shape[1], data.ids)


def unstacked(data: Columns) -> Columns:
    """The channels of images one by one, each with its digit of the label.

    Args:
        data: Images with labels such as 100 a + 10 b + c for three channels.

    Returns:
        Images of one channel, `"y"` from 0 to 9.

    Raises:
        DataError: If there are no labels, or they have more digits than channels.
    """
    x, y = data["x"], data.tensors.get("y")
    n = x.shape[1]
    if y is None or y.is_floating_point() or y.min() < 0 or y.max() >= 10**n:
        raise DataError(
            "A classifier of stacked channels needs labels with one decimal digit for each "
            f"of the {n} channels, such as those of `stacked_mnist`. Give such data, or "
            "use `features.classifier`."
        )
    digits = torch.stack([y // 10**place % 10 for place in reversed(range(n))], dim=1)
    ids = tuple(f"{name}#{channel}" for name in data.ids for channel in range(n))
    return Columns(
        {"x": _channels(x), "y": digits.flatten()},
        ids,
        kind="image",
        class_names=tuple("0123456789"),
    )


def _channels(x: Tensor) -> Tensor:
    return x.flatten(0, 1)[:, None]
