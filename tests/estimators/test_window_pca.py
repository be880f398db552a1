import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from counterplay import data
from counterplay.errors import ConfigError
from counterplay.estimators.window_pca import WindowPCA


@parametrize_with_checks([WindowPCA(window=1, n_components=1)])
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_scores_are_the_residuals_of_a_singular_value_decomposition():
    x = np.random.default_rng(0).normal(size=(40, 2)).cumsum(0)
    detector = WindowPCA(window=5, n_components=3).fit(x)
    inside = 2 * (x - x.min(0)) / (x.max(0) - x.min(0)) - 1
    windows = sliding_window_view(inside, 5, axis=0).transpose(0, 2, 1).reshape(36, 10)
    centred = windows - windows.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    residual = np.abs(centred - centred @ axes.T @ axes).reshape(36, 5, 2)
    expected = [
        np.mean([residual[w, row - w].mean() for w in range(36) if w <= row < w + 5])
        for row in range(40)
    ]
    np.testing.assert_allclose(detector.outlier_scores(x), expected)


def test_windows_tell_faults_that_rows_do_not_show():
    plant = data.oscillators()
    found = {}
    for window, n_components in ((30, 12), (1, 3)):
        detector = WindowPCA(window=window, n_components=n_components).fit(plant.train)
        found[window] = roc_auc_score(plant.labels, detector.outlier_scores(plant.test))
    assert found[30] > 0.98
    assert found[1] < 0.8


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match="`n_components` must be at least 1, got 0"):
        WindowPCA(n_components=0).fit(np.zeros((50, 2)))


def test_a_constant_series_is_normal_until_it_moves():
    detector = WindowPCA(window=5, n_components=2).fit(np.ones((50, 2)))
    assert (detector.outlier_scores_ == 0).all()
    moved = np.ones((50, 2))
    moved[20] = 2
    assert detector.outlier_scores(moved)[20] > 0
