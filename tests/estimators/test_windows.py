import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator

from counterplay.errors import ConfigError, DataError
from counterplay.estimators import _windows
from counterplay.estimators._windows import (
    add,
    cut,
    parted,
    read,
    require_numbers,
    require_shares,
    require_window,
)


X = np.arange(40.0).reshape(20, 2)


def frame(times, columns=("a", "b")):
    return pd.DataFrame(X[: len(times)], index=pd.DatetimeIndex(times), columns=columns)


def minutes(*numbers):
    return pd.to_datetime("2024-01-01") + pd.to_timedelta(numbers, unit="min")


def test_windows_begin_every_stride_and_one_ends_at_the_end():
    (found,) = cut([(0, 10)], window=4, stride=3)
    assert found.starts.tolist() == [0, 3, 6]
    (found,) = cut([(0, 11), (11, 15)], window=4, stride=3)
    assert found.starts.tolist() == [0, 3, 6, 7, 11]
    assert found.rows[-1].tolist() == [11, 12, 13, 14]
    (found,) = cut([(0, 10)], window=4, stride=7)  # no row is left out
    assert found.starts.tolist() == [0, 4, 6]


def test_a_short_stretch_is_a_window_of_its_own():
    long, short = cut([(0, 5), (5, 7)], window=4, stride=2)
    assert (long.length, long.starts.tolist()) == (4, [0, 1])
    assert (short.length, short.starts.tolist()) == (2, [5])


def test_every_row_gets_the_mean_of_the_windows_that_cover_it(monkeypatch):
    monkeypatch.setattr(_windows, "CHUNK", 2)
    cuts = cut([(0, 9), (9, 12)], window=4, stride=3)
    sums, counts = torch.zeros(12, 1), torch.zeros(12)
    expected = [[] for _ in range(12)]
    for one in cuts:
        for rows in one.chunks():
            assert len(rows) <= 2
            values = torch.rand(*rows.shape, 1)
            add(sums, counts, rows, values)
            for row, value in zip(rows.ravel(), values.flatten(), strict=True):
                expected[row].append(value)
    means = torch.stack([torch.stack(values).mean() for values in expected])
    torch.testing.assert_close((sums / counts[:, None])[:, 0], means)


def test_arrays_and_lists_of_them_are_read():
    one = read(BaseEstimator(), X, reset=True)
    assert one.bounds == ((0, 20),)
    assert one.stamps[:2] == ("0", "1")
    two = read(BaseEstimator(), [X, X[:5]], reset=True)
    assert two.bounds == ((0, 20), (20, 25))
    assert two.stamps[20] == "1/0"
    assert len(two) == 25
    assert read(BaseEstimator(), X.tolist(), reset=True).bounds == ((0, 20),)


def test_a_gap_ends_a_stretch():
    found = read(BaseEstimator(), frame(minutes(0, 1, 2, 4, 5, 6.4)), reset=True)
    assert found.bounds == ((0, 3), (3, 6))  # 1.4 minutes are no gap, 2 are
    assert found.stamps[3] == "2024-01-01T00:04:00.000000000"
    assert found.step == 60e9


def test_the_typical_step_is_that_of_training():
    late = frame(minutes(0, 2, 4))
    estimator = BaseEstimator()
    step = read(estimator, frame(minutes(0, 1, 2)), reset=True).step
    found = read(estimator, late, reset=False, step=step)
    assert found.bounds == ((0, 1), (1, 2), (2, 3))


def test_times_with_a_zone_are_read():
    found = read(BaseEstimator(), frame(minutes(0, 1, 3).tz_localize("CET")), reset=True)
    assert found.bounds == ((0, 3),)
    assert found.stamps[0] == "2023-12-31T23:00:00.000000000"


def test_unsorted_repeated_and_missing_times_are_refused():
    with pytest.raises(
        DataError, match=r"2024-01-01T00:01:00.* comes after 2024-01-01T00:02"
    ):
        read(BaseEstimator(), frame(minutes(0, 2, 1)), reset=True)
    with pytest.raises(DataError, match=r"2024-01-01T00:01:00.* comes twice, at row 2"):
        read(BaseEstimator(), frame(minutes(0, 1, 1)), reset=True)
    pair = [frame(minutes(0, 1)), frame([pd.Timestamp("2024-01-01"), pd.NaT])]
    with pytest.raises(DataError, match=r"of series 1 at row 1 is missing \(NaT\)"):
        read(BaseEstimator(), pair, reset=True)


def test_values_that_are_not_finite_are_named():
    bad = frame(minutes(0, 1, 2))
    bad.iloc[1, 1] = np.nan
    with pytest.raises(DataError, match=r"NaN at stamp 2024-01-01T00:01:00.*channel 'b'"):
        read(BaseEstimator(), bad, reset=True)
    values = X.copy()
    values[3, 0] = np.inf
    with pytest.raises(DataError, match="inf at stamp 3, channel 0"):
        read(BaseEstimator(), values, reset=True)


def test_the_end_of_each_long_stretch_is_held_out():
    known, held_out = parted([(0, 100), (100, 115), (115, 123)], window=10, share=0.2)
    assert known == [(0, 80), (100, 115)]
    assert held_out == [(80, 100)]
    known, held_out = parted([(0, 25)], window=10, share=0.2)
    assert (known, held_out) == ([(0, 15)], [(15, 25)])


def test_a_series_that_is_too_short_is_refused():
    series = read(BaseEstimator(), X, reset=True)
    require_window(series, 20)
    with pytest.raises(
        DataError, match=r"too short for a `window` of 21 rows: n_samples = 20"
    ):
        require_window(series, 21)
    with pytest.raises(DataError, match="of 15 rows and 6 more"):
        require_window(series, 15, spare=6)


def test_options_out_of_range_are_refused():
    require_numbers(window=1)
    with pytest.raises(ConfigError, match="`window` must be at least 1, got 0"):
        require_numbers(stride=1, window=0)
    require_shares(weight_r=1.0)
    with pytest.raises(ConfigError, match=r"`weight_r` is a share.*got 1\.5"):
        require_shares(weight_r=1.5)
