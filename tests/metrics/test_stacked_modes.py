"""Modes as combinations of classes: by hand, by a loop, and by closed forms."""

import itertools
import math

import pytest
import torch
from torch.nn.functional import one_hot

from counterplay.errors import DataError
from counterplay.metrics.stacked_modes import (
    smooth_stacked_reverse_kl,
    stacked_modes_covered,
    stacked_reverse_kl,
)


def logits_of(labels, n_classes=10, sure=50.0):
    """What a classifier that is sure says of each channel."""
    return sure * one_hot(torch.tensor(labels), n_classes).double().flatten(1)


ALL = list(itertools.product(range(10), repeat=3))


def test_a_sample_of_each_mode_covers_all_thousand():
    fake = logits_of(ALL)
    assert fake.shape == (1000, 30)
    assert float(stacked_modes_covered(fake)) == 1000
    assert float(stacked_modes_covered(fake, at_least=2)) == 0
    for metric in (stacked_reverse_kl, smooth_stacked_reverse_kl):
        assert float(metric(fake)) == pytest.approx(0, abs=1e-12)


def test_losing_half_of_the_modes_costs_log_2():
    fake = logits_of([label for label in ALL if label[1] < 5])
    assert float(stacked_modes_covered(fake)) == 500
    for metric in (stacked_reverse_kl, smooth_stacked_reverse_kl):
        assert float(metric(fake)) == pytest.approx(math.log(2), 1e-9)


def test_a_mode_is_a_number_whose_last_digit_is_the_last_channel():
    labels = [(0, 1), (2, 1), (2, 1)]  # modes 1 and 7 of 9
    real = [0.05] * 9
    real[1], real[7] = 0.25, 0.4
    expected = 1 / 3 * math.log(1 / 3 / 0.25) + 2 / 3 * math.log(2 / 3 / 0.4)
    for metric in (stacked_reverse_kl, smooth_stacked_reverse_kl):
        value = metric(logits_of(labels, 3), n_stacked=2, reference=real)
        assert float(value) == pytest.approx(expected, 1e-9)


def test_soft_counts_are_products_of_probabilities():
    generator = torch.Generator().manual_seed(0)
    fake = torch.randn(7, 6, generator=generator).double()
    p = fake.reshape(7, 3, 2).softmax(2)
    q = [
        torch.stack([p[i, 0, a] * p[i, 1, b] * p[i, 2, c] for i in range(7)]).mean()
        for a, b, c in itertools.product(range(2), repeat=3)
    ]
    expected = sum(share * torch.log(share * 8) for share in q)
    torch.testing.assert_close(smooth_stacked_reverse_kl(fake), expected)
    assert torch.autograd.gradcheck(smooth_stacked_reverse_kl, fake.requires_grad_())


def test_plain_classes_are_modes_too():
    fake = logits_of([[0], [0], [2], [2]], 4)
    assert float(stacked_modes_covered(fake, n_stacked=1)) == 2
    assert float(stacked_modes_covered(fake, n_stacked=1, at_least=3)) == 0
    value = stacked_reverse_kl(fake, n_stacked=1)
    assert float(value) == pytest.approx(math.log(2), 1e-12)


def test_columns_that_make_no_stack_are_refused():
    fake = torch.zeros(4, 10)
    for n_stacked in (3, 0):
        with pytest.raises(DataError, match=f"has 10 columns, .* of {n_stacked} class"):
            stacked_modes_covered(fake, n_stacked=n_stacked)
    with pytest.raises(DataError, match="`at_least` must be at least 1, got 0"):
        stacked_modes_covered(fake, n_stacked=2, at_least=0)


def test_more_modes_than_can_be_counted_are_refused():
    with pytest.raises(
        DataError, match=r"2 classes in each of 30 channels make 1\.07e\+09"
    ):
        stacked_modes_covered(torch.zeros(4, 60), n_stacked=30)
