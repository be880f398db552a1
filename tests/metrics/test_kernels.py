"""Sums of kernels and squared MMD, against loops over pairs."""

import math
import weakref

import numpy as np
import pytest
import torch

from counterplay.errors import DataError, MetricError
from counterplay.metrics import _kernels
from counterplay.metrics._kernels import (
    diagonal,
    Gaussian,
    kernel_distance_subsets,
    pair_sum,
    Polynomial,
    Reference,
    squared_mmd,
)


KERNELS = [Polynomial(), Polynomial(2, 0.3, 0.0), Gaussian(1.5)]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=repr)


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def by_pairs(kernel, x, y):
    if isinstance(kernel, Gaussian):
        return np.exp(-np.square(x - y).sum() / (2 * kernel.bandwidth**2))
    gamma = kernel.gamma or 1 / len(x)
    return (gamma * (x @ y) + kernel.coef) ** kernel.degree


def mmd_by_pairs(kernel, real, fake, *, unbiased):
    def mean(a, b, *, same):
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b))]
        values = [by_pairs(kernel, a[i], b[j]) for i, j in pairs if not same or i != j]
        return np.mean(values)

    a, b = real.numpy(), fake.numpy()
    within = mean(a, a, same=unbiased) + mean(b, b, same=unbiased)
    return within - 2 * mean(a, b, same=False)


@each_kernel
@pytest.mark.parametrize("unbiased", [True, False])
def test_squared_mmd_is_the_mean_over_pairs(kernel, unbiased):
    real, fake = normal(7, 3, 0), normal(5, 3, 1) + 0.5
    expected = mmd_by_pairs(kernel, real, fake, unbiased=unbiased)
    value = squared_mmd(real, fake, kernel=kernel, unbiased=unbiased)
    assert float(value) == pytest.approx(expected, 1e-12)


@each_kernel
def test_chunks_change_neither_value_nor_gradient(kernel, monkeypatch):
    real, fake = normal(23, 4, 0), normal(17, 4, 1).requires_grad_()

    def value_and_gradient():
        value = squared_mmd(real, fake, kernel=kernel)
        return value, torch.autograd.grad(value, fake)[0]

    whole = value_and_gradient()
    monkeypatch.setattr(_kernels, "CHUNK", 5)
    torch.testing.assert_close(value_and_gradient(), whole)


@each_kernel
def test_the_gradient_is_that_of_the_whole_matrix(kernel):
    x, y = normal(9, 3, 0).requires_grad_(), normal(6, 3, 1)
    for total, plain in (
        (pair_sum(kernel, x, y), kernel(x, y).sum()),
        (pair_sum(kernel, x, x), kernel(x, x).sum()),
    ):
        torch.testing.assert_close(total, plain)
        gradients = [torch.autograd.grad(value, x)[0] for value in (total, plain)]
        torch.testing.assert_close(*gradients)


def test_a_second_derivative_is_refused_and_not_wrong():
    x = normal(4, 2, 0).requires_grad_()
    value = pair_sum(Polynomial(), x, normal(3, 2, 1))
    with pytest.raises(MetricError, match="no second derivative"):
        torch.autograd.grad(value, x, create_graph=True)


@pytest.mark.parametrize("same", [True, False])
def test_only_one_block_of_pairs_is_held_at_a_time(same, monkeypatch):
    monkeypatch.setattr(_kernels, "CHUNK", 4)
    made = []

    def watched(x, y):
        assert all(earlier() is None for earlier in made)
        block = (x @ y.mT).exp()
        made.append(weakref.ref(block))
        return block

    x = normal(10, 2, 0).requires_grad_()
    pair_sum(watched, x, x if same else normal(9, 2, 1)).backward()
    assert len(made) == (6 if same else 9)


@each_kernel
def test_the_diagonal_is_the_kernel_of_each_row_with_itself(kernel):
    x = normal(6, 3, 0)
    torch.testing.assert_close(diagonal(kernel, x), kernel(x, x).diagonal())


def test_a_gaussian_kernel_keeps_its_digits_far_from_the_origin():
    x, y = normal(5, 3, 0), normal(4, 3, 1)
    kernel = Gaussian(0.7)
    torch.testing.assert_close(
        kernel(x + 2**20, y + 2**20), kernel(x, y), rtol=1e-7, atol=0
    )


def test_what_is_known_about_the_reference_is_computed_once():
    calls = []

    def kernel(x, y):
        calls.append(len(x))
        return x @ y.mT

    reference, fake = Reference.of(normal(20, 3, 0)), normal(9, 3, 1)
    first = squared_mmd(reference, fake, kernel=kernel)
    assert calls.count(20) == 2  # pairs and diagonal
    calls.clear()
    torch.testing.assert_close(squared_mmd(reference, fake, kernel=kernel), first)
    assert calls.count(20) == 1
    assert Reference.of(reference) is reference


def test_the_median_distance_is_numpys_and_that_of_few_rows_for_many():
    x = normal(40, 3, 0)
    above, below = np.triu_indices(40, 1)
    distances = np.linalg.norm(x[above] - x[below], axis=1)
    expected = np.sort(distances)[(len(distances) - 1) // 2]
    assert Reference(x).median_distance == pytest.approx(expected, 1e-12)
    many = Reference(normal(3_000, 1, 1)).median_distance  # of |N(0, 2)|
    assert many == pytest.approx(0.6745 * math.sqrt(2), 0.05)


def test_a_median_distance_of_zero_is_refused():
    with pytest.raises(DataError, match=r"half of all pairs among the 9 rows .* are equal"):
        _ = Reference(torch.ones(9, 2, dtype=torch.float64)).median_distance


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.inf, math.nan])
def test_a_bandwidth_that_is_no_width_is_refused(bandwidth):
    with pytest.raises(DataError, match="`bandwidth` must be above 0, and finite"):
        Gaussian(bandwidth)


def test_a_degree_below_one_is_refused():
    with pytest.raises(DataError, match="`degree` must be at least 1, got 0"):
        Polynomial(0)


@pytest.mark.parametrize("size", [5, 20])  # drawn apart, and from one pass over all pairs
def test_subsets_are_kernel_distances_of_rows_drawn_without_replacement(size):
    real, fake = normal(30, 4, 0), normal(25, 4, 1) + 0.3
    found = kernel_distance_subsets(real, fake, n_subsets=6, size=size, seed=3)
    values = []
    for i in range(6):
        rows = [
            x[_kernels._rng.permutation(len(x), 3, what, i)[:size]]
            for x, what in ((real, "real"), (fake, "fake"))
        ]
        values.append(mmd_by_pairs(Polynomial(), *rows, unbiased=True))
    assert found.mean == pytest.approx(np.mean(values), 1e-12)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), 1e-10)
    assert found.standard_error == pytest.approx(found.deviation / math.sqrt(6), 1e-12)


def test_subsets_of_all_rows_are_the_distance_of_all_rows():
    real, fake = normal(12, 3, 0), normal(12, 3, 1)
    found = kernel_distance_subsets(real, fake, n_subsets=3, size=12)
    assert found.mean == pytest.approx(
        float(squared_mmd(real, fake, kernel=Polynomial())), 1e-12
    )
    assert found.deviation < 1e-14


def test_subsets_leave_the_global_generator_alone():
    real, fake = normal(30, 3, 0), normal(30, 3, 1)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = kernel_distance_subsets(real, fake, n_subsets=4, size=10)
    assert torch.equal(torch.get_rng_state(), before)
    assert kernel_distance_subsets(real, fake, n_subsets=4, size=10) == first
    assert kernel_distance_subsets(real, fake, n_subsets=4, size=10, seed=1) != first


@pytest.mark.parametrize("options", [{"size": 1_000}, {"size": 1}, {"n_subsets": 1}])
def test_subsets_that_cannot_be_drawn_are_refused(options):
    with pytest.raises(DataError, match=r"30 real and 25 fake rows make .* 2 to 25 rows"):
        kernel_distance_subsets(
            normal(30, 3, 0), normal(25, 3, 1), **{"n_subsets": 9, "size": 9} | options
        )
