"""Reverse KL over modes: closed forms, its limit, and its bias."""

import math

import pytest
import torch

from counterplay.data import grid
from counterplay.errors import DataError
from counterplay.metrics.reverse_kl import reverse_kl, smooth_reverse_kl


CENTRES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
both = pytest.mark.parametrize("metric", [reverse_kl, smooth_reverse_kl])


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


@both
def test_even_samples_have_none_and_losing_half_of_the_modes_costs_log_2(metric):
    atol = 1e-9 if metric is reverse_kl else 0.01
    for kept, expected in ((4, 0.0), (2, math.log(2)), (1, math.log(4))):
        fake = CENTRES[:kept].repeat(5, 1)
        assert float(metric(fake, CENTRES)) == pytest.approx(expected, abs=atol)


@both
def test_the_direction_is_from_fake_to_real(metric):
    fake = CENTRES[[0, 0, 0, 1]]
    real = (0.5, 0.25, 0.125, 0.125)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.25)
    value = metric(fake, CENTRES, reference=real)
    assert float(value) == pytest.approx(expected, abs=0.01)


def test_perfect_samples_have_the_bias_of_counting():
    train = grid(n_train=20_000, std=0.05).train
    means = [train["x"][train["y"] == mode].mean(0) for mode in range(25)]
    values = [float(reverse_kl(part, torch.stack(means))) for part in train["x"].split(500)]
    bias = 24 / (2 * 500)
    error = torch.tensor(values).std().item() / math.sqrt(len(values))
    assert sum(values) / len(values) == pytest.approx(bias, abs=4 * error)


def test_soft_counts_become_hard_as_the_temperature_falls():
    fake = 5 + 6 * normal(200, 2, 0)
    hard = float(reverse_kl(fake, CENTRES))
    gaps = [
        abs(float(smooth_reverse_kl(fake, CENTRES, temperature=t)) - hard)
        for t in (0.5, 0.1, 0.001)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[2] < 1e-3


def test_the_gradient_is_that_of_finite_differences_and_spreads_samples():
    fake = (normal(12, 2, 1) + 4.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: smooth_reverse_kl(x, CENTRES), fake)
    before = fake.detach().clone()
    for _ in range(100):
        (slope,) = torch.autograd.grad(smooth_reverse_kl(fake, CENTRES), fake)
        fake = (fake - 20 * slope).detach().requires_grad_()
    assert float(reverse_kl(fake, CENTRES)) < float(reverse_kl(before, CENTRES))


def test_centres_and_options_that_mean_nothing_are_refused():
    fake = normal(5, 2, 0)
    with pytest.raises(DataError, match="`temperature` must be above 0, got 0"):
        smooth_reverse_kl(fake, CENTRES, temperature=0.0)
    with pytest.raises(DataError, match="All `centres` coincide"):
        smooth_reverse_kl(fake, torch.ones(3, 2))
    with pytest.raises(DataError, match="`centres` has 1 rows"):
        smooth_reverse_kl(fake, torch.ones(1, 2))
    with pytest.raises(DataError, match=r"`reference` is .* 4 positive numbers"):
        reverse_kl(fake, CENTRES, reference=(0.5, 0.5))
