"""Faults in series as what a few principal components of windows leave over."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from counterplay.estimators._scaling import scaling
from counterplay.estimators._series import AbstractSeriesDetector
from counterplay.estimators._windows import (
    add,
    Cut,
    cut,
    read,
    require_numbers,
    require_window,
)


class WindowPCA(AbstractSeriesDetector):
    """Principal components of flattened windows: the baseline that others have to beat.

    The score of a time stamp is the mean over its channels, and over the windows that cover
    it, of the distance to the window's projection. With `window=1` it is the residual of
    single rows. No training, no chance, one linear map.

    Args:
        window: Rows of a window.
        stride: Rows between the starts of windows that are scored, at most a window;
            training uses all.
        n_components: Components of flattened windows that are kept.
        contamination: Share of training rows that the threshold calls outliers.
        threshold: `"quantile"` of the training scores, or `"pot"`, which extrapolates
            their tail.

    Attributes:
        components_: Orthonormal directions of flattened windows, one per row.
        mean_: The mean window, flattened.
        outlier_scores_: Scores of the training rows, high for outlying.
        residuals_: How far each channel of theirs is from its reconstruction.
        offset_: Minus the threshold.
    """

    PARTS = ("reconstruction",)

    def __init__(
        self,
        *,
        window: int = 30,
        stride: int = 1,
        n_components: int = 12,
        contamination: float = 0.01,
        threshold: str = "quantile",
    ):
        self.window = window
        self.stride = stride
        self.n_components = n_components
        self.contamination = contamination
        self.threshold = threshold

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what is normal.

        Args:
            X: A series of normal operation: an array, a frame, or a list of these.
            y: Ignored.

        Returns:
            The detector.
        """
        require_numbers(
            window=self.window, stride=self.stride, n_components=self.n_components
        )
        self._require_contamination()
        self._require_threshold()
        series = read(self, X, reset=True)
        require_window(series, self.window, spare=1)
        self.step_, self.scaling_ = series.step, scaling(series.values)
        whole = [(a, b) for a, b in series.bounds if b - a >= self.window]
        (windows,) = cut(whole, window=self.window, stride=1)
        rows = self._scaled(series.values)[windows.rows].reshape(len(windows.starts), -1)
        self.mean_ = rows.mean(0)
        axes = np.linalg.svd(rows - self.mean_, full_matrices=False)[2]
        self.components_ = axes[: self.n_components]
        scores = self._scores_of(series)
        self.outlier_scores_, self.residuals_ = scores.total, scores.residuals
        self.offset_ = -self._threshold_of(self.outlier_scores_)
        return self

    def _measure(
        self, values: NDArray[np.float64], cuts: Sequence[Cut]
    ) -> tuple[Tensor, Tensor]:
        x, d = self._scaled(values), values.shape[1]
        sums = torch.zeros(len(x), 1 + d, dtype=torch.float64)
        counts = torch.zeros(len(x), dtype=torch.float64)
        for one in cuts:
            basis = self.components_[:, : one.length * d]  # a short window is a beginning
            project = np.linalg.pinv(basis) @ basis
            for rows in one.chunks():
                centred = x[rows].reshape(len(rows), -1) - self.mean_[: one.length * d]
                residual = np.abs(centred - centred @ project).reshape(*rows.shape, d)
                mean = residual.mean(2, keepdims=True)
                both = torch.from_numpy(np.concatenate([mean, residual], 2))
                add(sums, counts, rows, both)
        return sums, counts

    def _mix(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        return parts[:, 0]
