"""Features of a small autoencoder trained on the data at hand, which needs no labels."""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.features import _frozen, _trained
from counterplay.features._map import check_name
from counterplay.features._network import SmoothNetwork
from counterplay.game import Columns


@dataclass(frozen=True, kw_only=True)
class Autoencoder(_trained.AbstractTrained):
    """The code of an autoencoder.

    Attributes:
        error: Mean squared error of reconstructing instances held out of its own training,
            as a share of the error of the mean instance: 0 is perfect, 1 is no use.
    """

    error: float

    def reconstructed(self, x: Tensor) -> Tensor:
        """The instances as far as their features know them; differentiable in `x`."""
        return self.network.head(self(x)) * self.network.scale + self.network.mean


def autoencoder(
    data: Columns,
    *,
    n_features: int = 64,
    n_steps: int = 1_000,
    batch_size: int = 64,
    lr: float = 1e-2,
    seed: int = 0,
    name: str = "autoencoder",
) -> Autoencoder:
    """Train a small smooth autoencoder, whose code gives features; labels are not needed.

    The way to the code is that of `classifier`; the way back mirrors it, with bilinear
    enlargement before each convolution. What is minimised is the squared error of
    standardised instances: per channel of images, per value of rows. A fifth of the
    instances only measures the error. The result depends on data and options alone, and
    PyTorch's global generator stays as it was.

    Args:
        data: Instances, column "x": neither the game's training data nor what a gain is
            proven on. The validation split will do.
        n_features: Number of features.
        n_steps: Length of training, in steps of Adam.
        batch_size: Instances of a step.
        lr: Learning rate at the start; it falls to 0 along a line.
        seed: Seed of the weights, the batches and the split.
        name: What the map is called in the names of results.

    Returns:
        The map, frozen.

    Raises:
        DataError: If all instances are alike.
    """
    check_name(name)
    _trained.check_options(
        n_features=n_features, n_steps=n_steps, batch_size=batch_size, lr=lr
    )
    x = data["x"].to(torch.float32)
    judged, learnt = _trained.divided(x, seed, "autoencoder")
    if not (x != x[:1]).any():
        raise DataError(
            f"All {len(x)} instances are alike, so there is nothing that features could "
            "tell apart. Check column 'x'."
        )
    shape = tuple(x.shape[1:])
    with _rng.seeded(seed, "autoencoder", "weights"), torch.enable_grad():
        network = SmoothNetwork(shape, n_features, None).to(x.device, x.dtype)
        network.standardise(x[learnt])
        seen = network.standardised(x[learnt])
        _trained.train(
            network,
            lambda i: (network(x[learnt[i]]) - seen[i]).square().mean(),
            len(learnt),
            purpose="autoencoder",
            n_steps=n_steps,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
        )
    error = _error(name, network, x[judged], seen.mean(0))
    network = _trained.finished(network, data)
    return Autoencoder(
        name=name,
        shape=shape,
        n_features=n_features,
        fingerprint=_frozen.fingerprint(network),
        trained_on=data.ids,
        network=network,
        error=error,
    )


def _error(name: str, network: SmoothNetwork, x: Tensor, mean: Tensor) -> float:
    """The error of held-out instances over that of the mean of the others."""
    with torch.no_grad():
        rebuilt = torch.cat([network(part) for part in x.split(256)])
        true = network.standardised(x)
    error, without = (
        (guess - true).flatten(1).double().square().mean(1) for guess in (rebuilt, mean)
    )
    gain = without - error
    if gain.mean() <= 2 * gain.std(correction=0) / math.sqrt(len(gain)):
        warnings.warn(
            f"Feature autoencoder {name!r} reconstructs {len(x)} held-out instances with a "
            f"mean squared error of {float(error.mean()):.3g}, and always giving the mean "
            f"instance gets {float(without.mean()):.3g}, both in units of the data's "
            "variance. Its features hardly see what tells instances apart, so metrics on "
            "them say little. Give more instances, or train longer (`n_steps`).",
            stacklevel=3,
        )
    return float(error.mean() / without.mean())
