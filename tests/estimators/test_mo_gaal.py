"""Outliers in tables: scikit-learn's contract, quality, weights, influence."""

import math
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import estimator_checks_generator

from counterplay import play
from counterplay.errors import ConfigError, DataError
from counterplay.estimators import _gaal, load, MOGAAL, save, SOGAAL
from counterplay.estimators._gaal import default_rounds


KINDS = [MOGAAL, SOGAAL]
SHORT = {"n_active": 4, "width": 8}
PAPER = {
    "n_active": 200,
    "n_frozen": 400,
    "width": 1,
    "lr_d": 1e-2,
    "lr_g": 1e-4,
    "ema_halflife": None,
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def short(kind, **options):
    own = {"n_generators": 3} if kind is MOGAAL else {}
    return kind(**{**SHORT, **own, "random_state": 0, **options})


def table(n=40, d=3, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, d))


@pytest.mark.parametrize(
    ("estimator", "check"),
    [pair for kind in KINDS for pair in estimator_checks_generator(short(kind))],
    ids=lambda value: re.sub(
        r"\(.*", "", str(getattr(value, "func", value)).split(" at ")[0]
    ),
)
def test_scikit_learn_has_no_complaints(estimator, check):
    check(estimator)


def contaminated_wdbc(seed):
    X, benign = load_breast_cancer(return_X_y=True)
    malignant = np.random.default_rng(seed).choice(np.flatnonzero(benign == 0), 10, False)
    X = np.concatenate([X[benign == 1], X[malignant]])
    return X, np.repeat([0, 1], [357, 10])


def wdbc_aucs(seeds):
    for seed in seeds:
        X, y = contaminated_wdbc(seed)
        forest = IsolationForest(random_state=seed).fit(X)
        found = MOGAAL(random_state=seed, **PAPER).fit(X).outlier_scores_
        yield roc_auc_score(y, found), roc_auc_score(y, -forest.score_samples(X))


def test_malignant_among_benign_is_found_with_the_settings_of_the_paper():
    ours, forest = np.mean(list(wdbc_aucs(range(2))), 0)
    assert ours >= 0.94
    assert ours >= forest - 0.01


@pytest.mark.slow
def test_malignant_among_benign_is_found_for_five_draws():
    ours, forest = np.mean(list(wdbc_aucs(range(5))), 0)
    assert ours >= 0.94
    assert ours >= forest - 0.01


def planted(d):
    """A blob, and five rows far from it in all directions."""
    generator = np.random.default_rng(0)
    far = generator.normal(size=(5, d))
    far = 0.5 + 2 * far / np.linalg.norm(far, axis=1)[:, None]
    blob = generator.normal(0.5, 0.05, (200, d))
    return np.concatenate([blob, far]), np.repeat([0, 1], [200, 5])


@pytest.mark.parametrize("d", [2, 10])
def test_far_rows_score_high(d):
    X, y = planted(d)
    found = MOGAAL(random_state=0, n_active=60, n_frozen=240, contamination=5 / 205)
    found.fit(X, y)
    assert roc_auc_score(y, found.outlier_scores_) >= 0.95
    assert (found.predict(X)[200:] == -1).sum() >= 4
    assert found.train_history_["roc_auc"][-1] >= 0.95
    assert len(found.train_history_["G"]) == found.n_active_ == 60
    assert len(found.train_history_["D"]) == 300


def test_ten_generators_need_no_more_than_thirty_rows():
    found = MOGAAL(random_state=0).fit(table(30))
    assert found.game_.modules["G"](torch.rand(2, 3)).shape == (10, 2, 3)
    few = MOGAAL(random_state=0, n_active=3).fit(table(4))
    assert few.game_.modules["G"](torch.rand(2, 3)).shape == (4, 2, 3)


@each_kind
def test_the_three_kinds_of_scores_belong_together(kind):
    X = table()
    found = short(kind, contamination=0.2).fit(X)
    np.testing.assert_array_equal(found.outlier_scores(X), found.outlier_scores_)
    np.testing.assert_array_equal(found.score_samples(X), -found.outlier_scores_)
    assert found.threshold_ == -found.offset_
    assert (found.predict(X) == -1).sum() == 8
    assert set(found.predict(X)) == {-1, 1}


@each_kind
def test_a_fit_is_determined_by_its_seed_and_leaves_the_global_generator_alone(kind):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, second = (short(kind).fit(table()).outlier_scores_ for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (first != short(kind, random_state=1).fit(table()).outlier_scores_).any()


@each_kind
def test_columns_are_scaled_and_new_values_are_not_clipped(kind):
    X = np.c_[table(d=2) * 1e6 - 3e5, np.full(40, 7.0)]
    found = short(kind).fit(X)
    x = found.data_["x"]
    assert (x.min(0).values == 0).all()
    assert x.max(0).values.tolist() == [1, 1, 0]
    shifted = short(kind).fit(X * [1, 1e-3, 1] + 5)
    np.testing.assert_allclose(shifted.outlier_scores_, found.outlier_scores_, atol=1e-5)
    scores = found.outlier_scores(X[:2] + np.array([[1e7, 0, 0], [0, 0, 0]]))
    assert scores[0] != found.outlier_scores_[0]
    assert scores[1] == pytest.approx(found.outlier_scores_[1])


@each_kind
def test_rows_of_weight_zero_count_nowhere(kind):
    X, weights = table(), np.ones(40)
    weights[3] = 0
    X[3] = 0.5
    found = short(kind, batch_size=20).fit(X, weights=weights)
    X[3] = 900.0
    other = short(kind, batch_size=20).fit(X, weights=weights)
    kept = weights > 0
    np.testing.assert_allclose(other.outlier_scores_[kept], found.outlier_scores_[kept])
    assert other.offset_ == pytest.approx(found.offset_)


@each_kind
def test_the_influence_is_the_derivative_by_lowered_weights(kind):
    X = table(12, 2)
    valid, labels = table(8, 2, seed=1), np.repeat([0, 1], 4)
    options = {"dtype": "float64", "lr_d": 0.3, "batch_size": 6, "n_frozen": 3}
    found = short(kind, **options).fit(X)
    target = found.detection_target(valid, labels, temperature=0.05)
    traced = found.influence(valid, labels, temperature=0.05)
    assert traced.metric == "smooth_roc_auc_8"
    run, step = found.trajectory_, 1e-6
    for j in range(12):
        weights = torch.ones(12, dtype=torch.float64)
        weights[j] -= step
        lowered = play(
            found.game_,
            found.data_,
            n_steps=run.n_steps,
            batch_size=6,
            seed=run.plan.seed,
            weights=weights,
        )
        slope = (traced.value - target.value(lowered.final)) / step
        assert float(traced.gradient[j]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


@each_kind
def test_a_fitted_detector_survives_pickling_saving_and_cloning(kind, tmp_path):
    X = table()
    found = short(kind).fit(X)
    valid, labels = table(8, seed=1), np.repeat([0, 1], 4)
    expected = found.influence(valid, labels).gradient
    for again in (pickle.loads(pickle.dumps(found)), load(save(found, tmp_path / "model"))):
        np.testing.assert_array_equal(again.outlier_scores(X), found.outlier_scores_)
        assert torch.equal(again.influence(valid, labels).gradient, expected)
    assert not hasattr(clone(found), "trajectory_")


@each_kind
def test_data_frames_and_files_are_read(kind, tmp_path):
    X = table().astype(np.float32)
    frame = pd.DataFrame(X, columns=list("abc"), index=[f"row {i}" for i in range(40)])
    found = short(kind).fit(frame)
    assert found.data_.ids[1] == "row 1"
    assert found.feature_names_in_.tolist() == ["a", "b", "c"]
    X.tofile(tmp_path / "rows")
    rows = np.memmap(tmp_path / "rows", np.float32, "r", shape=X.shape)
    np.testing.assert_array_equal(
        short(kind).fit(rows).outlier_scores_, found.outlier_scores_
    )


def test_labels_of_another_kind_are_ignored():
    X = table()
    found = short(MOGAAL).fit(X, np.arange(40))
    assert "roc_auc" not in found.train_history_
    np.testing.assert_array_equal(
        found.outlier_scores_, short(MOGAAL).fit(X).outlier_scores_
    )


def test_the_length_of_a_run_follows_the_table():
    assert default_rounds(1_000_000) == default_rounds(100_000) > default_rounds(30)
    found = MOGAAL(random_state=0, width=4).fit(table(9))
    assert found.n_active_ == default_rounds(9)
    assert found.trajectory_.n_steps == 2 * found.n_active_ + found.n_active_ // 10


@each_kind
def test_generators_may_stop_where_the_scores_agree_best_with_distance(kind, monkeypatch):
    monkeypatch.setattr(_gaal, "_SCOUTED", 40)
    X, _ = planted(3)
    found = short(kind, n_active="agreement", n_frozen=None).fit(X)
    assert list(found.agreement_) == list(range(5, 41, 5))
    assert found.agreement_[found.n_active_] == max(found.agreement_.values())
    assert found.trajectory_.n_steps == 2 * found.n_active_
    x = found.data_["x"].numpy()
    crude = np.abs(x - np.median(x, axis=0)).mean(axis=1)
    agreement = spearmanr(found.outlier_scores_, crude).statistic
    assert found.agreement_[found.n_active_] == pytest.approx(agreement, abs=1e-6)


def test_nobody_looks_on_when_agreement_has_long_been_falling(monkeypatch):
    monkeypatch.setattr(_gaal, "_PATIENCE", 10)
    found = short(SOGAAL, n_active="agreement").fit(planted(3)[0])
    assert max(found.agreement_) == found.n_active_ + 10 < _gaal._SCOUTED


def test_rows_of_weight_0_have_no_say_in_where_generators_stop(monkeypatch):
    monkeypatch.setattr(_gaal, "_SCOUTED", 10)
    X = table(30)
    weights = np.repeat([0.0, 1.0], [5, 25])
    changed = X.copy()
    changed[:5] += 7
    one, other = (
        short(MOGAAL, n_active="agreement").fit(rows, weights=weights)
        for rows in (X, changed)
    )
    assert one.agreement_ == other.agreement_


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contamination": 0.6}, r"`contamination` .* got 0.6"),
        ({"n_active": 0}, r"`n_active` must be at least 1 or 'agreement', got 0"),
        ({"n_active": "auto"}, r"`n_active` must be .* 'agreement', got 'auto'"),
        ({"width": 0}, r"`width` must be at least 1, got 0"),
        ({"batch_size": 0}, r"`batch_size` must be at least 1, got 0"),
        ({"n_generators": 0}, r"`n_generators` must be at least 1, got 0"),
        ({"dtype": "float16"}, r"`dtype` must be .* got 'float16'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        short(MOGAAL, **options).fit(table())


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((5, 2), np.nan), "NaN"),
        (np.full((5, 2), np.inf), "infinity"),
        (np.ones((1, 2)), "1 sample"),
        (np.ones(4), "2D array"),
    ],
)
def test_data_that_makes_no_sense_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        short(MOGAAL).fit(X)


@pytest.mark.parametrize("weights", [np.ones(3), -np.ones(40), np.full(40, math.nan)])
def test_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(DataError, match=r"`weights` must hold 40 finite numbers"):
        short(MOGAAL).fit(table(), weights=weights)


def test_what_cannot_be_measured_is_refused():
    found = short(MOGAAL).fit(table())
    with pytest.raises(DataError, match=r"All `weights` are 0"):
        short(MOGAAL).fit(table(), weights=np.zeros(40))
    with pytest.raises(ConfigError, match=r"no measure 'f1'; there are \['roc_auc', "):
        found.detection_target(table(4), [0, 1, 0, 1], "f1")
    with pytest.raises(DataError, match=r"Labels must be 1 for an outlier and 0"):
        found.detection_target(table(4), [0, 1, 0, 2])
    with pytest.raises(DataError, match=r"There are 3 labels for 4 scores"):
        found.detection_target(table(4), [0, 1, 0])
