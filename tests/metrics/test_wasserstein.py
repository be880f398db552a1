"""Wasserstein distances against closed forms and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from counterplay.errors import DataError
from counterplay.metrics.wasserstein import sliced_wasserstein, wasserstein_1


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 30), (8, 1)])
def test_one_column_agrees_with_scipy(n, m):
    real, fake = normal(n, 1, 0), 2 * normal(m, 1, 1) + 1
    expected = stats.wasserstein_distance(real[:, 0].numpy(), fake[:, 0].numpy())
    assert float(wasserstein_1(real, fake)) == pytest.approx(expected, 1e-12)


@pytest.mark.parametrize(("n", "m"), [(15, 15), (15, 10)])
def test_many_columns_agree_with_scipys_linear_program(n, m):
    real, fake = normal(n, 3, 0), normal(m, 3, 1) + 0.5
    expected = stats.wasserstein_distance_nd(real.numpy(), fake.numpy())
    assert float(wasserstein_1(real, fake)) == pytest.approx(expected, 1e-9)


def test_a_shift_is_as_long_as_it_is():
    x, shift = normal(40, 3, 0), torch.tensor([1.0, -2.0, 2.0])
    assert float(wasserstein_1(x, x + shift)) == pytest.approx(3.0)
    assert float(wasserstein_1(x + 1e6, x + shift + 1e6)) == pytest.approx(3.0)


def test_rotating_and_scaling_both_sets_scales_the_distance():
    real, fake = normal(20, 4, 0), normal(20, 4, 1) + 1
    turn = torch.linalg.qr(normal(4, 4, 2)).Q
    expected = 3 * wasserstein_1(real, fake)
    torch.testing.assert_close(wasserstein_1(3 * real @ turn, 3 * fake @ turn), expected)


@pytest.mark.parametrize(("n", "m", "d"), [(9, 9, 3), (9, 6, 3), (9, 6, 1), (5, 5, 1)])
def test_the_gradient_is_the_finite_difference(n, m, d):
    real, fake = normal(n, d, 0), normal(m, d, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: wasserstein_1(real, x), fake)
    for power in (1, 2):
        assert torch.autograd.gradcheck(
            lambda x, power=power: sliced_wasserstein(real, x, power=power), fake
        )


@pytest.mark.parametrize("distance", [wasserstein_1, sliced_wasserstein])
@pytest.mark.parametrize("d", [1, 3])
def test_a_set_is_at_zero_from_itself_with_a_gradient(distance, d):
    x = normal(12, d, 0)
    fake = x.clone().requires_grad_()
    value = distance(x, fake)
    assert value.item() == 0.0
    value.backward()
    assert not fake.grad.any()


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("m", [20, 13])
def test_sliced_is_the_mean_over_lines(power, m):
    real, fake = normal(20, 3, 0), normal(m, 3, 1) + 0.5
    value = sliced_wasserstein(real, fake, n_projections=4_000, power=power)
    other = sliced_wasserstein(real, fake, n_projections=4_000, power=power, seed=1)
    assert float(value) == pytest.approx(float(other), 0.03)
    assert float(value) != float(other)
    lines = normal(4_000, 3, 5)
    lines /= lines.norm(dim=1, keepdim=True)
    repeated = real.repeat(m, 1).numpy(), fake.repeat(20, 1).numpy()
    a, b = (np.sort(x @ lines[:500].mT.numpy(), axis=0) for x in repeated)
    expected = np.mean(np.abs(a - b) ** power) ** (1 / power)
    assert float(value) == pytest.approx(expected, 0.1)


def test_sliced_of_a_shift_is_its_length_by_the_root_of_the_dimension():
    x, shift = normal(30, 4, 0), torch.tensor([2.0, 0.0, 0.0, 0.0])
    found = sliced_wasserstein(x, x + shift, n_projections=20_000)
    assert float(found) == pytest.approx(2 / math.sqrt(4), 0.02)


def test_one_column_needs_no_slices():
    real, fake = normal(12, 1, 0), normal(9, 1, 1)
    torch.testing.assert_close(
        sliced_wasserstein(real, fake, power=1), wasserstein_1(real, fake)
    )


@pytest.mark.parametrize("options", [{"power": 3}, {"n_projections": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(DataError, match="`power` must be 1 or 2 and `n_projections` at"):
        sliced_wasserstein(normal(5, 2, 0), normal(5, 2, 1), **options)
