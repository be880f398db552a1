import numpy as np
import pandas as pd
import pytest

from counterplay.errors import ConfigError, DataError
from counterplay.estimators.window_pca import WindowPCA


RANDOM = np.random.default_rng(0)
X = np.sin(np.arange(203)[:, None] / [3.0, 5.0, 7.0]) + RANDOM.normal(0, 0.1, (203, 3))
OPTIONS = {"window": 10, "n_components": 4}


def frame(values, *, without=()):
    index = pd.date_range("2024-01-01", periods=len(values), freq="min")
    found = pd.DataFrame(values, index=index, columns=["a", "b", "c"])
    return found.drop(found.index[list(without)])


@pytest.mark.parametrize("stride", [1, 4, 10, 13])
@pytest.mark.parametrize("at_once", [1, 7, 40, 203])
def test_a_stream_gives_the_scores_of_the_whole_series(stride, at_once):
    detector = WindowPCA(stride=stride, **OPTIONS).fit(X)
    stream, found = detector.stream(), []
    for begin in range(0, len(X), at_once):
        found.append(stream.push(X[begin : begin + at_once]))
        n_final = sum(map(len, found))
        assert n_final == max(min(begin + at_once, len(X)) - 10, 0)
    found.append(stream.finish())
    whole = detector.scores(X)
    together = np.concatenate([one.total for one in found])
    assert np.isfinite(together).all()
    # Float64, sums of a few dozen terms.
    np.testing.assert_allclose(together, whole.total, rtol=0, atol=1e-12)
    residuals = np.concatenate([one.residuals for one in found])
    np.testing.assert_allclose(residuals, whole.residuals, rtol=0, atol=1e-12)
    assert sum((one.stamps for one in found), ()) == whole.stamps


def test_a_stream_keeps_no_more_than_a_window():
    stream = WindowPCA(**OPTIONS).fit(X).stream()
    for row in X:
        stream.push(row[None])
        assert len(stream._values) <= 10


def test_a_stream_with_gaps_gives_the_scores_of_the_whole_series():
    series = frame(X, without=[*range(50, 55), *range(61, 64), 120])
    detector = WindowPCA(stride=3, **OPTIONS).fit(frame(X))
    stream, found = detector.stream(), []
    for begin in range(0, len(series), 9):
        found.append(stream.push(series.iloc[begin : begin + 9]))
    found.append(stream.finish())
    whole = detector.scores(series)
    together = np.concatenate([one.total for one in found])
    np.testing.assert_allclose(together, whole.total, rtol=0, atol=1e-12)
    assert sum((one.stamps for one in found), ()) == whole.stamps


def test_rows_that_come_too_early_are_refused():
    stream = WindowPCA(**OPTIONS).fit(frame(X)).stream()
    stream.push(frame(X)[5:20])
    with pytest.raises(
        DataError, match=r"begin at 2024-01-01T00:10.*is of 2024-01-01T00:19"
    ):
        stream.push(frame(X)[10:30])
    stream.finish()
    assert len(stream.push(frame(X)[10:30])) == 10


def test_no_window_crosses_a_gap():
    detector = WindowPCA(**OPTIONS).fit(frame(X))
    series = pd.concat([frame(X)[:60], frame(X)[100:160]])
    apart = detector.outlier_scores([frame(X)[:60], frame(X)[100:160]])
    np.testing.assert_allclose(detector.outlier_scores(series), apart)


def test_a_list_of_series_is_scored_in_its_order():
    detector = WindowPCA(**OPTIONS).fit([X[:100], X[100:]])
    both = detector.scores([X[:50], X[80:120]])
    assert len(both) == 90
    assert both.stamps[50] == "1/0"
    np.testing.assert_allclose(both.total[50:], detector.outlier_scores(X[80:120]))


def test_scores_say_which_channel_explains_them():
    faulty = X.copy()
    faulty[100:110, 1] += 1.5
    scores = WindowPCA(**OPTIONS).fit(frame(X)).scores(frame(faulty))
    assert scores.channels == ("a", "b", "c")
    assert scores.residuals[100:110].mean(0).argmax() == 1
    assert scores.total.argmax() in range(95, 115)
    np.testing.assert_array_equal(scores.parts["reconstruction"], scores.total)


def test_a_later_series_is_not_scaled_by_itself():
    detector = WindowPCA(**OPTIONS).fit(X)
    high = X.copy()
    high[-1] = 50.0  # would shrink the rest, if it set the scale
    np.testing.assert_array_equal(
        detector.outlier_scores(high)[:190], detector.outlier_scores(X)[:190]
    )


@pytest.mark.parametrize("threshold", ["quantile", "pot"])
def test_the_threshold_calls_the_given_share_outliers(threshold):
    detector = WindowPCA(contamination=0.2, threshold=threshold, **OPTIONS).fit(X)
    share = (detector.outlier_scores_ > detector.threshold_).mean()
    assert share == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(
        detector.predict(X) == -1, detector.outlier_scores_ > detector.threshold_
    )


def test_an_unknown_threshold_is_refused():
    with pytest.raises(
        ConfigError, match=r"no threshold 'f1'; there are \['quantile', 'pot'\]"
    ):
        WindowPCA(threshold="f1", **OPTIONS).fit(X)
