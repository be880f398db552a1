import numpy as np
import pytest
from example_run import TEST, VALID

from counterplay.errors import DataError
from counterplay.report import compared_figures, figures


def test_runs_share_a_panel_per_metric(log_rows):
    slower = [{**row, "step": 2 * row["step"]} for row in log_rows]
    other = [{"step": 1, TEST: 3.0}]
    figure = compared_figures.metric_curves({"a": log_rows, "b": slower, "c": other})
    valid, test = figure.axes
    assert [line.get_label() for line in valid.lines] == ["a", "b"]
    assert [line.get_label() for line in test.lines] == ["c"]
    assert np.asarray(valid.lines[1].get_xdata()).max() == 600


def test_the_gain_of_each_run_is_a_mean_over_its_seeds(cleansing):
    figure = compared_figures.cleansing_curves({"a": cleansing, "b": cleansing}, TEST)
    lines = figure.axes[0].lines[1:]
    assert [line.get_label() for line in lines] == ["a", "b"]
    expected = np.mean([figures.gains(s, TEST)[0] for s in cleansing["seeds"]], axis=0)
    np.testing.assert_allclose(lines[0].get_ydata(), expected)


def test_what_nobody_measured_is_refused(cleansing):
    with pytest.raises(DataError, match=r"None of \['a'\] was cleansed .* by 'other'"):
        compared_figures.cleansing_curves({"a": cleansing}, "other")
    with pytest.raises(DataError, match="has a column to draw"):
        compared_figures.metric_curves({"a": [{"step": 1}]})
    assert VALID in cleansing["seeds"][0]["after"]
