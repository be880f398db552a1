"""Authenticity of copies, of fresh draws and of distant samples."""

import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics.memorisation import authenticity, nearest, smooth_authenticity


FUNCTIONS = [authenticity, smooth_authenticity]
each_function = pytest.mark.parametrize("function", FUNCTIONS)


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def test_a_sample_on_a_line_is_a_copy_up_to_its_rows_spacing():
    real = torch.tensor([[0.0], [1.0], [3.0]])  # spacings 1, 1, 2
    fake = torch.tensor([[-1.0], [-1.1], [5.0], [5.1], [0.4], [1.9]])
    assert nearest(real, fake).ratio.tolist() == pytest.approx([1, 1.1, 1, 1.05, 0.4, 0.9])
    assert float(authenticity(real, fake)) == pytest.approx(2 / 6)


@each_function
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_copies_among_distant_samples_is_found(function, share):
    real = normal(60, 4, 0)
    n_copies = round(share * 50)
    copies = real[:n_copies] + 1e-4
    fake = torch.cat([copies, normal(50 - n_copies, 4, 1) + 20])
    assert float(function(real, fake)) == pytest.approx(1 - share, abs=1e-6)


@each_function
def test_copies_of_repeated_rows_are_copies(function):
    real = normal(20, 3, 0).repeat_interleave(2, 0)
    assert float(function(real, real[::2])) < 1e-6
    assert float(function(torch.ones(4, 2), torch.ones(3, 2))) < 1e-6
    assert float(function(torch.ones(4, 2), torch.zeros(3, 2))) > 1 - 1e-6


@each_function
def test_moving_turning_and_scaling_everything_changes_nothing(function):
    real, fake = normal(40, 4, 0), normal(30, 4, 1)
    turn = torch.linalg.qr(normal(4, 4, 2)).Q
    moved = [5 * x @ turn + 100 for x in (real, fake)]
    torch.testing.assert_close(function(*moved), function(real, fake))


def test_fresh_draws_lie_where_held_out_data_do():
    real, fake, held_out = (normal(1_000, 2, seed) for seed in range(3))
    assert float(authenticity(real, fake)) == pytest.approx(
        float(authenticity(real, held_out)), abs=0.07
    )
    assert 0.3 < float(authenticity(real, fake)) < 0.45


@pytest.mark.parametrize("d", [2, 16])
def test_the_smooth_value_tends_to_the_exact_one(d):
    real, fake = normal(300, d, 0), normal(200, d, 1)
    exact = authenticity(real, fake)
    assert abs(smooth_authenticity(real, fake) - exact) < 0.06
    assert abs(smooth_authenticity(real, fake, temperature=1e-5) - exact) < 1e-3


def test_the_gradient_leads_a_copy_away_from_its_row():
    real = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]])
    fake = torch.tensor([[0.0, -0.8]], dtype=torch.float64, requires_grad=True)
    smooth_authenticity(real, fake, temperature=0.2).backward()
    assert fake.grad[0, 1] < 0


def test_the_gradient_is_finite_on_exact_copies():
    real = normal(20, 3, 0)
    fake = real[:5].clone().requires_grad_()
    smooth_authenticity(real, fake).backward()
    assert torch.isfinite(fake.grad).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1.5, float("nan")])
def test_a_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(DataError, match="`temperature` must be above 0 and at most 1"):
        smooth_authenticity(normal(5, 2, 0), normal(5, 2, 1), temperature=temperature)
