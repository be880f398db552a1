"""The adapter to PyOD, by the assertions of PyOD's tests of its own detectors."""

import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from counterplay.errors import MissingExtraError
from counterplay.estimators import MOGAAL, SOGAAL


def test_without_pyod_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "counterplay.estimators.pyod", raising=False)
    monkeypatch.setitem(sys.modules, "pyod.models.base", None)
    with pytest.raises(MissingExtraError, match=r"counterplay\[pyod\]"):
        __import__("counterplay.estimators.pyod")


pytest.importorskip("pyod", reason="PyOD is an optional extra")
KINDS = {"MOGAAL": MOGAAL, "SOGAAL": SOGAAL}


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    from counterplay.estimators import PyODDetector

    generator = np.random.default_rng(0)
    inside = generator.normal(0.5, 0.05, (240, 4))
    far = generator.normal(size=(10, 4))
    far = 0.5 + 2 * far / np.linalg.norm(far, axis=1)[:, None]
    X = np.concatenate([inside[:190], far])
    kind = KINDS[request.param](random_state=0, n_active=60, n_frozen=240)
    detector = PyODDetector(kind, contamination=0.05)
    return detector.fit(X), X, np.repeat([0, 1], [190, 10]), inside[190:]


def test_a_fit_leaves_what_pyod_expects(fitted):
    detector, X, y, _ = fitted
    assert detector.decision_scores_.shape == detector.labels_.shape == (200,)
    assert set(detector.labels_) == {0, 1}
    assert detector.labels_.sum() == 10
    assert np.isfinite([detector.threshold_, detector._mu, detector._sigma]).all()
    assert roc_auc_score(y, detector.decision_scores_) > 0.75
    np.testing.assert_array_equal(detector.decision_function(X), detector.decision_scores_)


def test_new_rows_get_scores_labels_and_probabilities(fitted):
    detector, X, _, new = fitted
    assert detector.decision_function(new).shape == (50,)
    labels, confidence = detector.predict(X, return_confidence=True)
    np.testing.assert_array_equal(labels, detector.labels_)
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    for method in ("linear", "unify"):
        found = detector.predict_proba(X, method=method)
        assert found.shape == (200, 2)
        assert found.min() >= 0
        assert found.max() <= 1
    with pytest.raises(ValueError, match="not a valid"):
        detector.predict_proba(X, method="something")


def test_it_can_be_cloned_and_its_settings_read(fitted):
    detector, *_ = fitted
    again = clone(detector)
    assert again.get_params()["detector__random_state"] == 0
    assert again.get_params()["contamination"] == 0.05
    assert not hasattr(again, "detector_")


@pytest.mark.filterwarnings("ignore:Function fit_predict:FutureWarning")  # PyOD's own
def test_fitting_and_measuring_in_one_call(fitted):
    detector, X, y, _ = fitted
    assert clone(detector).fit_predict_score(X, y) > 0.75
    np.testing.assert_array_equal(clone(detector).fit_predict(X), detector.labels_)


def test_without_a_detector_it_is_a_mo_gaal():
    from counterplay.estimators import PyODDetector

    found = PyODDetector().fit(np.random.default_rng(0).uniform(size=(30, 2)))
    assert isinstance(found.detector_, MOGAAL)
