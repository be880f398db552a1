"""Likelihoods against scikit-learn's kernel density and known densities."""

import math

import pytest
import torch
from sklearn.neighbors import KernelDensity
from torch.distributions import MultivariateNormal

from counterplay.errors import DataError
from counterplay.metrics._kernel_density import HeldOut
from counterplay.metrics.likelihood import (
    average_log_likelihood,
    bandwidth_by_cross_validation,
    mean_log_density,
)


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("bandwidth", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("far", [0.0, 1e4])
def test_the_average_agrees_with_scikit_learn(bandwidth, far):
    real, fake = normal(30, 3, 0) + far, normal(40, 3, 1) + far
    density = KernelDensity(bandwidth=bandwidth, rtol=1e-12).fit(fake.numpy())
    expected = density.score(real.numpy()) / len(real)
    value = average_log_likelihood(real, fake, bandwidth=bandwidth)
    assert float(value) == pytest.approx(expected, 1e-8)


def test_one_kernel_on_the_row_is_the_density_at_its_top():
    value = average_log_likelihood(torch.ones(1, 2), torch.ones(1, 2), bandwidth=0.5)
    assert float(value) == pytest.approx(-math.log(2 * math.pi * 0.25), 1e-12)


def test_samples_nearer_the_data_are_likelier():
    real, fake = normal(50, 2, 0), normal(60, 2, 1)
    values = [
        float(average_log_likelihood(real, fake + shift)) for shift in (0.0, 1.0, 3.0)
    ]
    assert values == sorted(values, reverse=True)


def test_the_gradient_is_the_finite_difference():
    real, fake = normal(6, 2, 0).requires_grad_(), normal(5, 2, 1).requires_grad_()
    loglik = lambda a, b: average_log_likelihood(a, b, bandwidth=0.7)
    assert torch.autograd.gradcheck(loglik, (real, fake))


def test_the_gradient_is_finite_far_from_every_sample():
    fake = normal(5, 2, 1).requires_grad_()
    average_log_likelihood(normal(6, 2, 0) + 1e3, fake, bandwidth=0.1).backward()
    assert torch.isfinite(fake.grad).all()
    assert fake.grad.any()


def test_a_bandwidth_of_zero_is_refused():
    with pytest.raises(DataError, match=r"`bandwidth` must be above 0 or .*, got 0"):
        average_log_likelihood(normal(3, 2, 0), normal(3, 2, 1), bandwidth=0.0)


def test_the_bandwidth_can_be_chosen_within_the_reference():
    real, fake = normal(40, 2, 0), normal(50, 2, 1).requires_grad_()
    bandwidth = bandwidth_by_cross_validation(real)
    expected = average_log_likelihood(real, fake, bandwidth=bandwidth)
    for reference in (real, HeldOut(real)):
        value = average_log_likelihood(reference, fake, bandwidth="cross-validation")
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    assert torch.autograd.gradcheck(
        lambda x: average_log_likelihood(real, x, bandwidth="cross-validation"), fake
    )


def test_the_mean_log_density_is_the_distributions():
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()
    truth = MultivariateNormal(torch.ones(2).double(), covariance)
    fake = normal(20, 2, 0).requires_grad_()
    value = mean_log_density(fake, truth.log_prob)
    assert value.item() == pytest.approx(truth.log_prob(fake).mean().item())
    assert torch.autograd.gradcheck(lambda x: mean_log_density(x, truth.log_prob), fake)
