"""What MO-GAAL's generators aim at, and whose samples its discriminator sees."""

import numpy as np
import pytest
import torch

from counterplay import games
from counterplay.errors import GameError
from counterplay.games.mo_gaal import _quantiles, _shares, mo_gaal
from counterplay.games.so_gaal import so_gaal
from counterplay.nets import gaal


def values_of(n, seed=0):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("n", [1, 2, 7, 30, 500])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_quantiles_of_equal_rows_interpolate_linearly(n, k):
    values = values_of(n)
    expected = torch.quantile(values, torch.arange(k).double() / k)
    found = _quantiles(values, torch.ones(n).double(), k)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_rows_of_weight_zero_do_not_count_and_equal_weights_are_units():
    values, weights = values_of(12), torch.ones(12).double()
    weights[[0, 5, 11]] = 0
    kept = values[weights > 0]
    expected = _quantiles(kept, torch.ones(9).double(), 4)
    torch.testing.assert_close(_quantiles(values, weights, 4), expected)
    torch.testing.assert_close(_quantiles(values, 3 * weights, 4), expected)
    assert torch.equal(_quantiles(values, 0 * weights, 4), torch.zeros(4).double())


def test_the_effect_of_a_row_vanishes_with_its_weight():
    values, weights = values_of(12), torch.ones(12).double()
    weights[3] = 1e-9
    nearly = _quantiles(values, weights, 5)
    weights[3] = 0.0
    torch.testing.assert_close(nearly, _quantiles(values, weights, 5), atol=1e-8, rtol=0)


def test_quantiles_have_the_derivatives_of_lowered_weights():
    values, weights = values_of(13), torch.ones(13).double()
    exact = torch.autograd.functional.jacobian(lambda w: _quantiles(values, w, 5), weights)
    step = 1e-6
    for j in range(13):
        lowered = weights.clone()
        lowered[j] -= step
        change = _quantiles(values, weights, 5) - _quantiles(values, lowered, 5)
        torch.testing.assert_close(exact[:, j], change / step, rtol=1e-6, atol=1e-8)


def test_every_generator_has_a_share_in_proportion_to_its_level():
    for size in range(10, 300):
        shares = _shares(size, 10, "proportional")
        assert sum(shares) == size
        assert min(shares) >= 1
        assert shares == sorted(shares, reverse=True)
    exact = 500 * np.arange(10, 0, -1) / 55
    assert np.abs(_shares(500, 10, "proportional") - exact).max() < 1


def test_the_official_shares_give_the_last_generator_the_rest():
    assert _shares(367, 10, "official") == [60, 54, 48, 42, 36, 30, 24, 18, 12, 43]


def test_impossible_shares_are_refused():
    with pytest.raises(
        GameError, match=r"10 generators need a batch of at least 55, got 54"
    ):
        _shares(54, 10, "official")
    with pytest.raises(GameError, match=r"3 generators need a batch of at least 3, got 2"):
        _shares(2, 3, "proportional")
    with pytest.raises(GameError, match=r"`share` must be .*, got 'equal'"):
        _shares(50, 3, "equal")


def test_stages_without_moves_are_refused():
    D = gaal.discriminator(2, 3)
    with pytest.raises(GameError, match=r"n_active=0 and n_frozen=4"):
        so_gaal(gaal.generator(2), D, n_active=0, n_frozen=4)
    with pytest.raises(GameError, match=r"`n_frozen` at least 0, got 2, 3 and -1"):
        mo_gaal(gaal.generators(2, 3), D, n_generators=3, n_active=2, n_frozen=-1)


@pytest.mark.parametrize("name", ["mo_gaal", "so_gaal"])
def test_generators_freeze_after_their_stage(name):
    assert name in games.names()
    G = gaal.generators(2, 3) if name == "mo_gaal" else gaal.generator(2)
    own = {"n_generators": 3} if name == "mo_gaal" else {}
    game = games.load(name)(G, gaal.discriminator(2, 3), n_active=3, n_frozen=4, **own)
    assert game.schedule == (("D",), ("G",)) * 3 + (("D",),) * 4
