import numpy as np
import pytest

from counterplay.errors import ConfigError
from counterplay.estimators._scaling import of_channels, scaled, scaling


X = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([1.0, 5.0, 0.1, 2.0])


def test_training_series_fill_the_range_and_others_may_leave_it():
    found = scaling(X)
    inside = scaled(found, X)
    np.testing.assert_allclose(inside.min(0), -1)
    np.testing.assert_allclose(inside.max(0), 1)
    # Nothing of a later series moves the scale.
    np.testing.assert_array_equal(scaled(found, 3 * X)[:5], scaled(found, 3 * X[:5]))
    assert np.abs(scaled(found, 3 * X)).max() > 2


def test_a_constant_channel_becomes_zero_and_shows_when_it_moves():
    constant = np.c_[X, np.full(50, 7.0)]
    found = scaling(constant)
    assert (scaled(found, constant)[:, 4] == 0).all()
    assert (scaled(found, constant + 1)[:, 4] == 1).all()


def test_components_fill_the_range_and_go_back_to_channels():
    found = scaling(X, 4)
    inside = scaled(found, X)
    assert inside.shape == (50, 4)
    np.testing.assert_allclose(np.abs(inside).max(0), 1)
    # With all components nothing is lost: a difference of channels comes back.
    difference = scaled(found, X[1:]) - scaled(found, X[:-1])
    expected = scaled(scaling(X), X[1:]) - scaled(scaling(X), X[:-1])
    np.testing.assert_allclose(of_channels(found, difference), expected, atol=1e-12)


def test_without_components_residuals_are_of_channels_already():
    assert of_channels(scaling(X), X) is X


def test_more_components_than_channels_are_refused():
    with pytest.raises(ConfigError, match=r"`pca` must be None or between 1 and 4.*got 5"):
        scaling(X, 5)
