"""Detectors as PyOD has them: scores high for outlying, labels of 0 and 1."""

from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_array, check_is_fitted

from counterplay.errors import MissingExtraError
from counterplay.estimators._scorer import AbstractScorer
from counterplay.estimators.mo_gaal import MOGAAL


try:
    from pyod.models.base import BaseDetector  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise MissingExtraError(
        "PyOD is needed for its own kind of detectors. Install it with "
        "`pip install 'counterplay[pyod]'`, or use the detector without the adapter."
    ) from error


class PyODDetector(BaseDetector):
    """A detector of Counterplay as one of PyOD.

    Where scikit-learn's scores are high for normal rows, PyOD's are high for outlying ones;
    this class gives the latter: `decision_function` is the detector's `outlier_scores`.

    Args:
        detector: An unfitted detector of rows; a `MOGAAL` if left out.
        contamination: Share of outliers assumed among the training rows; it takes the place
            of the detector's own.

    Attributes:
        detector_: The fitted detector.
        decision_scores_: Scores of the training rows, high for outlying.
        threshold_: From which score on a row is an outlier.
        labels_: 1 for training rows that are outliers, 0 for normal ones.
    """

    def __init__(self, detector: AbstractScorer | None = None, contamination: float = 0.1):
        super().__init__(contamination=contamination)
        self.detector = detector

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the detector.

        Args:
            X: Rows of numbers.
            y: Nothing is learnt from labels.

        Returns:
            The fitted adapter.
        """
        X = check_array(X)
        self._set_n_classes(y)
        detector: Any = MOGAAL() if self.detector is None else clone(self.detector)
        self.detector_ = detector.set_params(contamination=self.contamination).fit(X)
        self.decision_scores_ = self.detector_.outlier_scores_
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The outlier score of each row, high for outlying."""
        check_is_fitted(self, "detector_")
        return self.detector_.outlier_scores(X)
