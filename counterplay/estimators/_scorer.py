"""Scikit-learn's contract of what scores outliers, learnt or not."""

from abc import ABC, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin

from counterplay.errors import ConfigError


class AbstractScorer(OutlierMixin, BaseEstimator, ABC):
    """Scores with a threshold.

    `score_samples` is high for normal rows, as scikit-learn has it; `outlier_scores` is the
    score of the paper, high for outlying rows.

    Attributes:
        outlier_scores_: Scores of the training rows, high for outlying.
        offset_: Where `decision_function` is 0.
    """

    contamination: float
    outlier_scores_: np.ndarray
    offset_: float

    @abstractmethod
    def outlier_scores(self, X) -> np.ndarray:
        """The score of each row as in the paper, high for outlying."""

    @property
    def threshold_(self) -> float:
        """The smallest of the `outlier_scores` that `predict` may call an outlier."""
        return -self.offset_

    def score_samples(self, X) -> np.ndarray:
        """How normal each row is: minus its outlier score."""
        return -self.outlier_scores(X)

    def decision_function(self, X) -> np.ndarray:
        """How far each row is from the threshold; negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X) -> np.ndarray:
        """1 for a normal row, -1 for an outlier."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _require_contamination(self) -> None:
        """Refuse a share that is not in (0, 0.5].

        Raises:
            ConfigError: If it is not.
        """
        if not 0 < self.contamination <= 0.5:
            raise ConfigError(
                "`contamination` is the share of outliers assumed among the training rows "
                f"and must be in (0, 0.5], got {self.contamination!r}."
            )
