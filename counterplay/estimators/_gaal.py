"""What SO-GAAL and MO-GAAL share: scaling, stages and scores."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from counterplay._play import OnStep, play
from counterplay._statistics import spearman
from counterplay.errors import ConfigError
from counterplay.estimators._detector import AbstractDetector, instance_weights
from counterplay.estimators._record import current
from counterplay.game import apply_of, Columns, Game, State
from counterplay.losses import per_instance
from counterplay.typing import Params


_LONGEST = 100  # rounds, unless told otherwise
_SCOUTED = 300  # rounds that are looked at to choose their number
_PAUSE = 5  # rounds between these looks
_PATIENCE = 100  # rounds without better agreement after which there are no more
_JUDGED = 5_000  # rows at most that they take
_FROZEN = 10  # rounds for each move of D alone that follows them, likewise
_CHUNK = 8_192  # rows scaled or scored at a time
_LOOKS = 20  # how often the history is given the area under the ROC curve


class AbstractGAAL(AbstractDetector):
    """A discriminator trained against generators of potential outliers.

    Columns are scaled to [0, 1] by the smallest and largest training value, a constant one
    to 0. New values beyond are scaled likewise and not clipped: they are outlying.

    Attributes:
        minimum_: Smallest training value of each column.
        range_: Largest minus smallest, 1 for a constant column.
        n_active_: Rounds after which the generators were frozen.
        agreement_: With `n_active="agreement"`, by number of rounds, the rank correlation
            of the scores with the mean absolute deviation from the columns' medians.
        train_history_: Losses, `"D"` and `"G"`, one per move of the player; with labels
            also `"roc_auc"` at moves `"step"`. A fit that was interrupted has those since.
    """

    n_active: int | Literal["agreement"] | None
    n_frozen: int | None
    width: int
    ema_halflife: float | None
    batch_size: int
    lr_d: float
    lr_g: float
    momentum: float
    dtype: Literal["float32", "float64"]
    minimum_: np.ndarray
    range_: np.ndarray
    n_active_: int
    agreement_: dict[int, float]
    train_history_: dict[str, list[float]]

    @abstractmethod
    def _maker(
        self, shape: tuple[int, ...], batch_size: int, seed: int
    ) -> Callable[..., Game]:
        """What builds the game for rows of a shape from `n_active` and `n_frozen`."""

    def fit(self, X, y=None, weights=None) -> Self:
        """Learn to tell the rows from generated ones.

        Args:
            X: Rows of numbers: an array, a data frame, or an array in a file
                (`numpy.memmap`), which is read in pieces.
            y: Nothing is learnt from labels. Where they are 1 for outliers and 0 for normal
                rows, the history records how well these are told apart.
            weights: One weight per row, 1 if left out; a row at 0 has no effect. Not
                scikit-learn's `sample_weight`: denominators stay as they are, so a row at
                weight 2 is not two rows.

        Returns:
            The detector.
        """
        self._require_options()
        rows = self._validated(X, ensure_min_samples=2)
        weights = instance_weights(weights, len(rows))
        self._learn_scale(rows, (weights > 0)[:, None])
        x = np.empty(rows.shape, dtype=self.dtype)
        for part in _parts(len(rows)):
            x[part] = self._scaled(rows[part])
        ids = X.index if hasattr(X, "iloc") else range(len(rows))
        data = Columns({"x": torch.from_numpy(x)}, tuple(map(str, ids)))
        self._train(data, y, weights)
        self.outlier_scores_ = self._scores_of(rows)
        self._set_offset(weights)
        return self

    def outlier_scores(self, X) -> np.ndarray:
        """How sure the discriminator is that each row is not real, between 0 and 1.

        Args:
            X: Rows with the columns of the training set; they are read in pieces.

        Returns:
            `1 - D(x)`, high for outlying.
        """
        return self._scores_of(self._read(X))

    def _train(self, data: Columns, y: Any, weights: np.ndarray) -> None:
        batch_size, seed = min(self.batch_size, len(data)), self._draw_seed()
        make = self._maker(data["x"].shape, batch_size, seed)
        if self.n_active == "agreement":
            self.agreement_ = self._scouted(make, data, batch_size, seed, weights)
            self.n_active_ = max(self.agreement_, key=self.agreement_.__getitem__)
        else:
            self.n_active_ = self.n_active or default_rounds(len(data))
        n_frozen = self.n_frozen
        if n_frozen is None:
            n_frozen = 0 if self.n_active == "agreement" else self.n_active_ // _FROZEN
        n_steps = 2 * self.n_active_ + n_frozen
        past = current().past
        self.train_history_ = {player: [*past.get(player, ())] for player in "DG"}
        self._play(
            partial(make, n_active=self.n_active_, n_frozen=n_frozen),
            data,
            n_steps=n_steps,
            batch_size=batch_size,
            seed=seed,
            weights=weights,
            on_step=self._watch(data["x"], _binary(y), max(1, n_steps // _LOOKS)),
        )

    def _scouted(
        self,
        make: Callable[..., Game],
        data: Columns,
        batch_size: int,
        seed: int,
        weights: np.ndarray,
    ) -> dict[int, float]:
        """How well the scores agree with a crude measure of outlyingness, as rounds go by.

        Before a discriminator has learnt where rows are, it agrees little, and once the
        generators have found the densest part of the data, its scores turn around.
        """
        x = data["x"][torch.from_numpy(weights > 0)]
        x = x[:: math.ceil(len(x) / _JUDGED)].numpy()
        crude = np.abs(x - np.median(x, 0)).mean(1)
        found: dict[int, float] = {}

        def look(state: State, losses: Mapping[str, float]) -> None:
            del losses
            rounds, rest = divmod(state.step, 2)
            if not rest and rounds % _PAUSE == 0:
                scores = self._scores_in(state.view(averaged=True), x, lambda part: part)
                found[rounds] = float(spearman(scores, crude))
                if rounds - max(found, key=found.__getitem__) >= _PATIENCE:
                    raise _Enough

        self.game_ = make(n_active=_SCOUTED, n_frozen=0)
        with suppress(_Enough):
            play(
                self.game_,
                data,
                n_steps=2 * _SCOUTED,
                batch_size=batch_size,
                seed=seed,
                every=2 * _SCOUTED,
                weights=torch.from_numpy(weights),
                on_step=look,
                device=self.device,
            )
        return found

    def _watch(self, x: Tensor, labels: np.ndarray | None, every: int) -> OnStep:
        """What writes the history."""
        history = self.train_history_
        if labels is not None:
            history |= {"step": [], "roc_auc": []}

        def watch(state: State, losses: Mapping[str, float]) -> None:
            for player, loss in losses.items():
                history[player].append(loss)
            if labels is not None and state.step % every == 0:
                scores = self._scores_in(
                    state.view(averaged=True), x.numpy(), lambda part: part
                )
                history["step"].append(state.step)
                history["roc_auc"].append(float(roc_auc_score(labels, scores)))

        return watch

    def _read(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._validated(X, reset=False)

    def _validated(self, X: Any, **how: Any) -> np.ndarray:
        """The rows in whichever of the two types they have, so that they are not copied."""
        return np.asanyarray(validate_data(self, X, dtype=[np.float64, np.float32], **how))

    def _learn_scale(self, rows: np.ndarray, present: np.ndarray) -> None:
        """Find minimum and range of the columns over the rows that are present."""
        low = np.min(rows, axis=0, where=present, initial=np.inf).astype(np.float64)
        high = np.max(rows, axis=0, where=present, initial=-np.inf).astype(np.float64)
        self.minimum_, self.range_ = low, np.where(high > low, high - low, 1.0)

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self.minimum_) / self.range_

    def _scores_of(self, rows: np.ndarray) -> np.ndarray:
        params = self.trajectory_.final.view(averaged=True)
        return self._scores_in(params, rows, self._scaled)

    def _scores_in(
        self,
        params: Params,
        rows: np.ndarray,
        scaled: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Scores of rows by the networks of a state, some rows at a time."""
        score, scores = self._scorer(params), np.empty(len(rows))
        for part in _parts(len(rows)):
            with torch.no_grad():
                scores[part] = score(torch.from_numpy(scaled(rows[part]))).cpu()
        return scores

    def _scorer(self, params: Params) -> Callable[[Tensor], Tensor]:
        """The score of scaled rows, in float64 so that far outliers do not tie."""
        D = apply_of("D", self.game_.modules["D"])
        exact = {"D": {name: tensor.double() for name, tensor in params["D"].items()}}
        device = next(iter(exact["D"].values())).device
        return lambda x: (
            -per_instance(D.evaluated(exact, x.to(device).double()))
        ).sigmoid()

    def _score_function(self, X: Any) -> Callable[[Params], Tensor]:
        x = torch.from_numpy(self._scaled(self._read(X)))
        return lambda params: self._scorer(params)(x)

    def _require_options(self) -> None:
        """Refuse options that make no sense; the game refuses its own.

        Raises:
            ConfigError: If there is one.
        """
        self._require_contamination()
        for name in ("n_active", "width", "batch_size"):
            value = getattr(self, name)
            if name == "n_active" and value == "agreement":
                continue
            if value is not None and (isinstance(value, str) or value < 1):
                or_else = " or 'agreement'" if name == "n_active" else ""
                raise ConfigError(f"`{name}` must be at least 1{or_else}, got {value!r}.")
        if self.dtype not in ("float32", "float64"):
            raise ConfigError(
                f"`dtype` must be 'float32' or 'float64', got {self.dtype!r}."
            )


class _Enough(Exception):  # noqa: N818 - it is none
    """Ends a play that is only looked at."""


def default_rounds(n: int) -> int:
    """How long generators move, for `n` rows: a small table is learnt sooner."""
    return min(_LONGEST, math.ceil(3 * math.sqrt(n)))


def _binary(y: Any) -> np.ndarray | None:
    """Labels that tell outliers from normal rows; None for any others."""
    labels = np.asarray(y)
    tells = labels.ndim == 1 and set(np.unique(labels)) == {0, 1}
    return labels if tells else None


def _parts(n: int) -> Iterator[slice]:
    return (slice(begin, begin + _CHUNK) for begin in range(0, n, _CHUNK))
