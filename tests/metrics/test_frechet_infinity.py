"""The extrapolated Frechet distance against distances that are known."""

import numpy as np
import pytest
import torch

from counterplay import _rng
from counterplay.errors import DataError
from counterplay.metrics.frechet import frechet_distance, moments_from
from counterplay.metrics.frechet_infinity import frechet_infinity


def normal(n, d, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def test_the_bias_of_few_samples_is_gone():
    d, m = 16, 320
    reference = moments_from(torch.zeros(d), torch.eye(d))
    draws = [1.1 * normal(m, d, seed) + 0.1 for seed in range(20)]
    exact = d * (0.1**2 + 0.1**2)
    plain = np.mean([float(frechet_distance(reference, x)) for x in draws]) - exact
    extrapolated = [float(frechet_infinity(reference, x)) for x in draws]
    assert plain > 0.15
    assert abs(np.mean(extrapolated) - exact) < 0.15 * plain


@pytest.mark.parametrize(("m", "n_sizes"), [(23, 2), (40, 3), (41, 5)])
def test_the_value_is_where_the_line_through_the_means_of_parts_meets_zero(m, n_sizes):
    real, fake = normal(50, 4), normal(m, 4, 1) + 0.5
    order = _rng.permutation(m, 3, "frechet_infinity")
    x, y = [], []
    for k in range(1, n_sizes + 1):
        parts = np.array_split(fake[order].numpy(), k)
        x.append(np.mean([1 / len(part) for part in parts]))
        y.append(np.mean([frechet_distance(real, torch.tensor(part)) for part in parts]))
    value = float(frechet_infinity(real, fake, n_sizes=n_sizes, seed=3))
    assert value == pytest.approx(np.polyfit(x, y, 1)[1], 1e-9)


def test_parts_depend_on_the_seed_and_not_on_what_is_in_the_rows():
    real, fake = normal(50, 4), normal(30, 4, 1)
    value = frechet_infinity(real, fake)
    # Far steps across the ranks of every direction, and yet no jump.
    path = [frechet_infinity(real, fake + t * fake.flip(0)) for t in np.linspace(0, 1, 400)]
    steps = torch.stack(path).diff()
    assert steps.diff().abs().max() < 0.02 * steps.abs().max()
    assert float(frechet_infinity(real, fake)) == float(value)
    assert float(frechet_infinity(real, fake, seed=1)) != float(value)


def test_the_gradient_is_the_finite_difference():
    real, fake = normal(30, 3), normal(16, 3, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: frechet_infinity(real, x), fake)


def test_a_line_of_one_point_is_refused():
    with pytest.raises(DataError, match="`n_sizes` is 1, but a line needs at least 2"):
        frechet_infinity(normal(9, 2), normal(9, 2, 1), n_sizes=1)


def test_parts_of_one_sample_are_refused():
    with pytest.raises(DataError, match=r"`fake` has 7 rows, .* no value below 8"):
        frechet_infinity(normal(9, 2), normal(7, 2, 1), n_sizes=4)
