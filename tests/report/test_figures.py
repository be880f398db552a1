import sys

import numpy as np
import pytest
import torch
from example_run import TEST, VALID
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from counterplay.errors import DataError
from counterplay.report import figures


def labels(figure: Figure) -> list[tuple[str, str]]:
    return [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes]


def test_every_figure_has_axes_with_labels(log_rows, influence, cleansing, wrong):
    drawn = [
        figures.training_curves(log_rows),
        figures.metric_curves(log_rows),
        figures.influence_histogram(influence.removal, VALID),
        figures.verification_scatter(wrong[0]),
        figures.cleansing_curves(cleansing, TEST),
        figures.points_scatter(torch.randn(9, 2), torch.randn(5, 2)),
    ]
    for figure in drawn:
        assert isinstance(figure, Figure)
        assert figure.axes
        assert all(x and y for x, y in labels(figure))


def test_no_figure_goes_through_pyplot(log_rows):
    figures.training_curves(log_rows)
    assert "matplotlib.pyplot" not in sys.modules


def test_a_long_log_is_drawn_as_stretches():
    rows = [{"step": i, "loss_D": float(i % 2)} for i in range(5_000)]
    (line,) = figures.training_curves(rows).axes[0].lines
    assert len(np.asarray(line.get_xdata())) == figures.N_BINS
    assert np.allclose(line.get_ydata(), 0.5, atol=0.05)


def test_validation_and_test_share_a_panel():
    rows = [
        {"step": i, VALID: 1.0, TEST: 2.0, "valid_recall_identity_8": 0.5} for i in range(3)
    ]
    figure = figures.metric_curves(rows)
    assert [len(ax.lines) for ax in figure.axes] == [2, 1]
    assert [ax.get_ylabel() for ax in figure.axes] == ["Fréchet distance", "recall"]


def test_the_side_of_harm_follows_the_direction_of_the_metric():
    removal = [-1.0, -0.5, 2.0]
    for higher, harmful in ((False, 2), (True, 1)):
        ax = figures.influence_histogram(removal, VALID, higher_is_better=higher).axes[0]
        first = ax.patches[0]
        assert isinstance(first, StepPatch)
        assert first.get_label() == "harmful: removal improves"
        assert np.sum(first.get_data()[0]) == harmful


def test_effects_that_were_not_traced_are_left_out():
    figures.influence_histogram([0.0, float("nan")], VALID, planted=[True, True])
    with pytest.raises(DataError, match="None of the 1 removal effects on 'm' is a number"):
        figures.influence_histogram([float("nan")], "m")


def test_the_scatter_prints_the_agreement(right):
    titles = [
        ax.get_title(loc="left") for ax in figures.verification_scatter(right[0]).axes
    ]
    assert titles[0].startswith("one weight lowered by 0.1\nτ = 1.00 [1.00, 1.00]")
    assert titles[1].startswith("one instance removed\nτ = 1.00")
    assert titles[2].startswith("5 % removed at random\nLDS = 1.00")


def test_cleansing_curves_are_mean_gains_with_the_influence_emphasised(cleansing):
    ax = figures.cleansing_curves(cleansing, TEST).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    chief = lines["influence on Fréchet distance"]
    expected = np.mean(
        [13.0 - np.array(seed["after"][TEST][0]) for seed in cleansing["seeds"]], 0
    )
    np.testing.assert_allclose(np.asarray(chief.get_ydata()), expected)
    assert chief.get_linewidth() > lines["random"].get_linewidth()
    assert "no removal" in [text.get_text() for text in ax.texts]


def test_an_unmeasured_metric_is_refused(cleansing):
    with pytest.raises(DataError, match="did not measure 'other'; it measured"):
        figures.cleansing_curves(cleansing, "other")


def test_a_log_without_losses_is_refused():
    with pytest.raises(DataError, match="None of the 1 rows of the log"):
        figures.training_curves([{"step": 1}])
