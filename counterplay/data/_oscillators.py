"""A plant of six sensors that follow three oscillators, with a day of faults to find."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


PERIODS = (25.0, 40.0, 60.0)  # steps of time
FAULTS = ("stuck", "noise", "shift")
SHARE = 0.16  # of the test series is faulty


class Plant(NamedTuple):
    """A normal series to learn from and one with faults.

    Attributes:
        train: Normal operation, `(n_train, 6)`.
        test: The same plant with faults, `(n_test, 6)`.
        labels: 1 where the test series is faulty, `(n_test,)`.
    """

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    labels: NDArray[np.int64]


def oscillators(*, n_train: int = 4_000, n_test: int = 2_000, seed: int = 0) -> Plant:
    """Six sensors driven by three oscillators with wandering phases.

    Three sensors read an oscillator each; the fourth a sum, the fifth a product, the sixth
    an earlier value. In faulty stretches of 15 to 35 steps, three sensors are stuck at a
    value, noisy (standard deviation 0.6), or shifted by 0.9, until about 16 % of the test
    series is faulty.

    Args:
        n_train: Steps of normal operation.
        n_test: Steps of the series with faults.
        seed: Determines both.

    Returns:
        Both series and the labels.
    """
    random = np.random.default_rng(seed)
    train, test = _normal(n_train, random), _normal(n_test, random)
    labels = np.zeros(n_test, dtype=np.int64)
    while labels.mean() < SHARE:
        length = int(random.integers(15, 36))
        begin = int(random.integers(0, n_test - length))
        around = slice(max(begin - 20, 0), begin + length + 20)
        if labels[around].any():  # a fault begins from normal operation
            continue
        where = slice(begin, begin + length)
        labels[where] = 1
        _break(test[where], random)
    return Plant(train, test, labels)


def _normal(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    lag = 7
    pace = 2 * np.pi / np.array(PERIODS)
    steps = pace + random.normal(0, 0.02, (n + lag, 3))
    phase = random.uniform(0, 2 * np.pi, 3) + steps.cumsum(0)
    a, b, c = np.sin(phase).T
    sensors = [a, b, c, 0.6 * a + 0.4 * b, b * c, np.roll(a, lag)]
    return np.stack(sensors, 1)[lag:] + random.normal(0, 0.05, (n, 6))


def _break(stretch: NDArray[np.float64], random: np.random.Generator) -> None:
    """Make three sensors faulty, in place."""
    for channel in random.choice(6, 3, replace=False):
        match random.choice(FAULTS):
            case "stuck":
                stretch[:, channel] = random.uniform(-1, 1)
            case "noise":
                stretch[:, channel] += random.normal(0, 0.6, len(stretch))
            case "shift":
                stretch[:, channel] += random.choice([-0.9, 0.9])
