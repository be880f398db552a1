"""Modes covered and quality of samples on the ring, and by hand."""

import pytest
import torch

from counterplay.data import ring
from counterplay.errors import DataError
from counterplay.metrics.modes import high_quality_share, modes_covered


CENTRES = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]
# Offsets from the centres 0, 0, 1, 1 and none: .3, 3, 2.9, 3.1 and far away.
FAKE = torch.tensor([[0.3, 0.0], [0.0, -3.0], [12.9, 0.0], [13.1, 0.0], [50.0, 50.0]])


def centres_of(train, n_modes=8):
    return torch.stack([train["x"][train["y"] == mode].mean(0) for mode in range(n_modes)])


def test_samples_are_counted_by_hand():
    assert float(modes_covered(FAKE, CENTRES, 1.0)) == 2
    assert float(modes_covered(FAKE, CENTRES, 1.0, at_least=2)) == 1
    assert float(modes_covered(FAKE, CENTRES, 1.0, n_std=1.0)) == 1
    assert float(high_quality_share(FAKE, CENTRES, 1.0)) == 3 / 5
    assert float(high_quality_share(FAKE, CENTRES, 0.5, n_std=6.4)) == 4 / 5


def test_a_sample_near_two_modes_counts_for_the_nearest():
    assert float(modes_covered(torch.tensor([[4.0]]), [[0.0], [10.0]], 5.0)) == 1


def test_perfect_samples_cover_the_ring_and_without_a_mode_all_but_that():
    train = ring(n_train=4_000).train
    centres, x = centres_of(train), train["x"]
    assert float(modes_covered(x, centres, 0.02)) == 8
    assert float(modes_covered(x[train["y"] != 3], centres, 0.02)) == 7
    share = 1 - torch.exp(torch.tensor(-4.5)).item()  # of a normal in the plane, at 3
    assert float(high_quality_share(x, centres, 0.02)) == pytest.approx(share, abs=0.005)


def test_options_that_mean_nothing_are_refused():
    with pytest.raises(DataError, match="`at_least` must be at least 1, got 0"):
        modes_covered(FAKE, CENTRES, 1.0, at_least=0)
    for std, n_std in ((0.0, 3.0), (1.0, -1.0)):
        with pytest.raises(DataError, match="`std` and `n_std` must be above 0, got"):
            high_quality_share(FAKE, CENTRES, std, n_std=n_std)
    with pytest.raises(DataError, match=r"`fake` has 2 columns, .* has 1"):
        modes_covered(FAKE, [[0.0], [1.0]], 1.0)
