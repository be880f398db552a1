"""What every detector of outliers has, whatever game it plays."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, get_args, Literal

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from counterplay._adjoint import AbstractAdjoint, Unroll
from counterplay._influence import Influence, trace
from counterplay._play import OnStep, play
from counterplay._trajectory import Trajectory
from counterplay.detection import smooth_average_precision, smooth_roc_auc
from counterplay.errors import ConfigError, DataError
from counterplay.estimators._record import current
from counterplay.estimators._scorer import AbstractScorer
from counterplay.game import Columns, Game, State
from counterplay.metrics.target import of_state, Target
from counterplay.typing import Params


Measure = Literal["roc_auc", "average_precision"]
_MEASURES = {"roc_auc": smooth_roc_auc, "average_precision": smooth_average_precision}


class AbstractDetector(AbstractScorer):
    """Scikit-learn's contract of an outlier detector, in front of a played game.

    A subclass stores its options, plays its game in `fit` by `_play`, then calls
    `_set_offset`.

    Attributes:
        game_: The game.
        data_: The training set as the game read it.
        trajectory_: The run; `counterplay.trace` takes these three.
    """

    TRACED: int | None = None  # moves; None is the whole run
    memory: int | str | None
    device: str
    random_state: Any
    game_: Game
    data_: Columns
    trajectory_: Trajectory

    @abstractmethod
    def _score_function(self, X) -> Callable[[Params], Tensor]:
        """The differentiable `outlier_scores` of `X`, as a function of `State.view()`."""

    def detection_target(
        self,
        X_valid,
        y_valid,
        measure: Measure = "roc_auc",
        *,
        temperature: float | None = None,
    ) -> Target:
        """How well labelled rows are told apart, as what a trace differentiates.

        Args:
            X_valid: Rows that are not in the training set.
            y_valid: 1 for an outlier, 0 for a normal row.
            measure: The area under the ROC curve or average precision, made smooth by
                `counterplay.detection`.
            temperature: How smooth, in units of the score.

        Returns:
            The target; higher is better.

        Raises:
            ConfigError: If there is no such measure.
            DataError: If there is not one label of 0 or 1 per row.
        """
        check_is_fitted(self)
        if measure not in _MEASURES:
            raise ConfigError(
                f"There is no measure {measure!r}; there are {list(get_args(Measure))}."
            )
        labels, scores = _labels(y_valid), self._score_function(X_valid)

        def quality(params: Params) -> Tensor:
            found = scores(params)
            if found.shape != labels.shape:
                raise DataError(
                    f"There are {len(labels)} labels for {len(found)} scores; every row "
                    "needs one of each."
                )
            return _MEASURES[measure](
                found, labels.to(found.device), temperature=temperature
            )

        averaged = bool(self.game_.averages)
        # A wrong length shows here, not in a trace.
        quality(self.trajectory_.final.view(averaged=averaged))
        return of_state(
            quality,
            name=f"smooth_{measure}_{len(labels)}",
            higher_is_better=True,
            averaged=averaged,
        )

    def influence(
        self,
        X_valid,
        y_valid,
        measure: Measure = "roc_auc",
        *,
        temperature: float | None = None,
        adjoint: AbstractAdjoint | None = None,
    ) -> Influence:
        """What each training row does to the detection of labelled rows.

        Args:
            X_valid: Rows that are not in the training set.
            y_valid: 1 for an outlier, 0 for a normal row.
            measure: See `detection_target`.
            temperature: See `detection_target`.
            adjoint: How the derivative is computed; `default_adjoint` if left out.

        Returns:
            The influence; `harmful(k)` names the training rows that hurt most.
        """
        target = self.detection_target(X_valid, y_valid, measure, temperature=temperature)
        return trace(
            self.game_,
            self.data_,
            self.trajectory_,
            target,
            adjoint=adjoint or self.default_adjoint,
        )

    @property
    def default_adjoint(self) -> Unroll:
        """How far back `influence` follows the run: all of it, or `TRACED` moves."""
        check_is_fitted(self)
        last = self.TRACED and min(self.TRACED, self.trajectory_.n_steps)
        return Unroll(last=last)

    def _draw_seed(self) -> int:
        """The only number that a fit draws."""
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _play(
        self,
        make: Callable[[], Game],
        data: Columns,
        *,
        n_steps: int,
        batch_size: int,
        seed: int,
        weights: np.ndarray,
        on_step: OnStep | None = None,
    ) -> None:
        """Play the game that `make` builds; both are kept. Once per fit.

        Under `recorded`, states are kept in a folder, and a fit that was interrupted goes
        on there: then `on_step` sees only the moves that were left, and `current().past`
        has the losses of the others.

        A game holds functions, which cannot be pickled; `make` can, if it is a `partial` of
        a game's factory, so a pickled detector builds its game again.
        """
        self._make_game, self.game_, self.data_ = make, make(), data
        record = current()
        watch = record.watch(n_steps) if record.watch else None
        self.trajectory_ = play(
            self.game_,
            data,
            n_steps=n_steps,
            batch_size=batch_size,
            seed=seed,
            memory=self.memory,
            weights=torch.from_numpy(weights),
            on_step=_both(on_step, watch),
            checkpoints=record.checkpoints,
            device=self.device,
        )

    def _set_offset(self, weights: np.ndarray) -> None:
        """Let the threshold call the assumed share of the training rows outliers."""
        scores = -self.outlier_scores_[weights > 0]
        self.offset_ = float(np.quantile(scores, self.contamination))

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "game_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_make_game" in vars(self):
            self.game_ = self._make_game()


def instance_weights(weights: Any, n: int) -> np.ndarray:
    """One weight per row, 1 if left out, in float64.

    Raises:
        DataError: If they are not `n` finite numbers of at least 0, some of them above 0.
    """
    if weights is None:
        return np.ones(n)
    found = np.array(weights, dtype=np.float64)
    if found.shape != (n,) or not (np.isfinite(found).all() and (found >= 0).all()):
        raise DataError(
            f"`weights` must hold {n} finite numbers of at least 0, one per row, got shape "
            f"{found.shape}."
        )
    if not found.any():
        raise DataError("All `weights` are 0, so there is no row left to learn from.")
    return found


def _both(first: OnStep | None, second: OnStep | None) -> OnStep | None:
    if first is None or second is None:
        return first or second

    def each(state: State, losses: Mapping[str, float]) -> None:
        first(state, losses)
        second(state, losses)

    return each


def _labels(y: Any) -> Tensor:
    labels = np.asarray(y)
    if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
        raise DataError(
            "Labels must be 1 for an outlier and 0 for a normal row, one per row, got "
            f"shape {labels.shape} with values {np.unique(labels)[:5].tolist()}."
        )
    return torch.from_numpy(labels.astype(np.int64))
