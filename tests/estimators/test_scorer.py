import numpy as np
import pytest

from counterplay.errors import ConfigError
from counterplay.estimators.window_pca import WindowPCA


X = np.random.default_rng(0).normal(size=(60, 3))


def test_signs_are_those_of_scikit_learn():
    detector = WindowPCA(window=1, n_components=1, contamination=0.1).fit(X)
    scores = detector.outlier_scores(X)
    np.testing.assert_array_equal(detector.score_samples(X), -scores)
    np.testing.assert_allclose(detector.decision_function(X), detector.threshold_ - scores)
    assert detector.threshold_ == -detector.offset_
    assert set(detector.predict(X)) == {-1, 1}
    assert detector.predict(X)[scores.argmax()] == -1


@pytest.mark.parametrize("share", [0, 0.6, -0.1])
def test_an_impossible_share_of_outliers_is_refused(share):
    with pytest.raises(ConfigError, match=rf"must be in \(0, 0\.5\], got {share}"):
        WindowPCA(window=1, contamination=share).fit(X)
