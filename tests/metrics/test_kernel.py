"""Kernel distances between known sets and distributions."""

import math

import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics._kernels import Reference
from counterplay.metrics.kernel import (
    kernel_distance,
    kernel_distance_rbf,
    maximum_mean_discrepancy,
    squared_mmd,
)


FUNCTIONS = [kernel_distance, kernel_distance_rbf, maximum_mean_discrepancy]


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def orthogonal(d, seed):
    return torch.linalg.qr(normal(d, d, seed)).Q


def test_two_pairs_of_points_have_the_value_taken_by_hand():
    real = torch.tensor([[0.0], [1.0]])
    fake = torch.tensor([[2.0], [3.0]])
    # Products: within real 0, within fake 6, across 0, 0, 2, 3; (p + 1)^3 each.
    assert float(kernel_distance(real, fake)) == pytest.approx(1 + 343 - 2 * 93 / 4)
    linear = kernel_distance(real, fake, degree=1, gamma=2.0, coef=5.0)
    assert float(linear) == pytest.approx(5 + 17 - 2 * (5 + 5 + 9 + 11) / 4)


def test_a_gaussian_kernel_between_known_points_is_the_closed_form():
    real = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    fake = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    near = math.exp(-25 / (2 * 4.0**2))
    distance = kernel_distance_rbf(real, fake, bandwidth=4.0)
    assert float(distance) == pytest.approx(near + 1 - (1 + near))
    biased = (1 + near) / 2 + 1 - (1 + near)
    found = maximum_mean_discrepancy(real, fake, bandwidth=4.0)
    assert float(found) == pytest.approx(math.sqrt(biased))
    # The only distance among real rows is 5.
    torch.testing.assert_close(
        kernel_distance_rbf(real, fake), kernel_distance_rbf(real, fake, bandwidth=5.0)
    )


def test_a_linear_kernel_measures_the_distance_of_the_means():
    real, fake = normal(40, 5, 0), normal(30, 5, 1)
    biased = squared_mmd(real, fake, kernel=lambda x, y: x @ y.mT, unbiased=False)
    expected = (real.mean(0) - fake.mean(0)).square().sum()
    torch.testing.assert_close(biased, expected)


def test_the_kernel_distance_is_unbiased():
    """For N(m, 1) and N(0, 1) and (xy + 1)^2 it is that of the moments up to 2."""
    m = 0.7
    expected = 2 * m**2 + m**4  # 2 (E x - E y)^2 + (E x^2 - E y^2)^2
    values = torch.stack(
        [
            kernel_distance(normal(6, 1, 2 * i), normal(5, 1, 2 * i + 1) + m, degree=2)
            for i in range(500)
        ]
    )
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - expected) < 3 * error
    assert error < 0.15 * expected


def test_the_gaussian_distance_of_two_gaussians_is_unbiased():
    """E k(x, y) = (1 + 2 / b^2)^(-d/2) exp(-|m|^2 / (2 (b^2 + 2))) for N(0, I), N(m, I)."""
    d, m, b = 3, 1.1, 1.4
    own = (1 + 2 / b**2) ** (-d / 2)
    expected = 2 * own * (1 - math.exp(-(m**2) / (2 * (b**2 + 2))))
    shift = torch.tensor([m, 0, 0])
    values = torch.stack(
        [
            kernel_distance_rbf(
                normal(8, d, i), normal(9, d, 7_000 + i) + shift, bandwidth=b
            )
            for i in range(400)
        ]
    )
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - expected) < 3 * error
    assert error < 0.07 * expected


def test_unbiased_distances_of_one_distribution_fall_on_both_sides_of_zero():
    values = [
        float(kernel_distance(normal(50, 4, i), normal(50, 4, 90 + i))) for i in range(9)
    ]
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize("distance", FUNCTIONS)
def test_rotating_both_sets_changes_nothing(distance):
    real, fake, turn = normal(30, 4, 0), normal(20, 4, 1) + 0.5, orthogonal(4, 2)
    torch.testing.assert_close(distance(real @ turn, fake @ turn), distance(real, fake))


@pytest.mark.parametrize("distance", [kernel_distance_rbf, maximum_mean_discrepancy])
def test_moving_and_scaling_both_sets_changes_nothing(distance):
    real, fake = normal(30, 4, 0), normal(20, 4, 1) + 0.5
    torch.testing.assert_close(
        distance(8 * real + 1_000, 8 * fake + 1_000), distance(real, fake)
    )


@pytest.mark.parametrize("distance", FUNCTIONS)
def test_the_distance_grows_with_the_shift(distance):
    real, fake = normal(60, 3, 0), normal(50, 3, 1)
    values = [float(distance(real, fake + shift)) for shift in (0, 0.5, 1, 2)]
    assert values == sorted(values)


def test_the_discrepancy_of_a_set_to_itself_is_zero_and_has_a_gradient():
    x = normal(20, 3, 0)
    fake = x.clone().requires_grad_()
    distance = maximum_mean_discrepancy(x, fake)
    assert distance.item() < 1e-7
    distance.backward()
    assert torch.isfinite(fake.grad).all()


def test_the_discrepancy_is_a_metric():
    a, b, c = normal(9, 2, 0), normal(8, 2, 1) + 1, normal(7, 2, 2) - 1

    def distance(x, y):
        return float(maximum_mean_discrepancy(x, y, bandwidth=1.0))

    assert distance(a, b) == pytest.approx(distance(b, a))
    assert distance(b, c) <= distance(b, a) + distance(a, c)


def test_the_bandwidth_stays_while_samples_move():
    real = normal(20, 2, 0)
    fake = normal(10, 2, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: kernel_distance_rbf(real, x), fake)


@pytest.mark.parametrize("distance", FUNCTIONS)
def test_rows_that_cannot_be_compared_are_refused(distance):
    with pytest.raises(DataError, match="`fake` has 3 columns"):
        distance(Reference.of(normal(5, 2, 0)), normal(5, 3, 1))
    with pytest.raises(DataError, match="`fake` has 1 rows"):
        distance(normal(5, 2, 0), normal(1, 2, 1))
