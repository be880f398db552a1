import numpy as np
import pytest
from matplotlib.figure import Figure

from counterplay.report.model_figures import (
    N_COLUMNS,
    principal_plane,
    projection,
    score_histogram,
    series_scores,
)


@pytest.fixture
def scores():
    return np.random.default_rng(0).standard_normal(300)


def bars(figure):
    return [patch.get_data().values.sum() for patch in figure.axes[0].patches]


def test_the_histogram_counts_every_row_once(scores):
    figure = score_histogram(scores, 1.5)
    assert bars(figure) == [(scores <= 1.5).sum(), (scores > 1.5).sum()]
    labels = (np.arange(300) < 20).astype(int)
    assert bars(score_histogram(scores, 1.5, labels)) == [280, 20]


def test_equal_scores_are_drawn(scores):
    assert bars(score_histogram(np.ones(4), 1.0)) == [4, 0]


def test_the_plane_is_that_of_the_largest_variance():
    rng = np.random.default_rng(1)
    strong = rng.standard_normal((200, 1))
    values = np.hstack([
        strong * [1, 10, -3], np.ones((200, 1)), rng.standard_normal((200, 1))
    ])  # fmt: skip
    plane, share = principal_plane(values + 5)
    assert plane.shape == (200, 2)
    assert abs(np.corrcoef(plane[:, 0], strong[:, 0])[0, 1]) > 0.999
    assert share == pytest.approx(1, abs=1e-9)  # four columns, of which three are one


def test_a_single_or_constant_column_has_a_plane_too():
    plane, share = principal_plane(np.arange(5.0)[:, None])
    assert plane.shape == (5, 2)
    assert share == pytest.approx(1)
    assert principal_plane(np.ones((5, 3)))[1] == 0


def test_the_highest_scores_are_always_drawn():
    scores = np.arange(20_000.0)
    figure = projection(np.column_stack([scores, -scores]), scores, 19_990.0)
    below, above = (points.get_offsets() for points in figure.axes[0].collections)
    assert above[:, 0].max() == 19_999
    assert len(above) == 9
    assert len(below) < 2_000


@pytest.mark.parametrize("n", [50, 10 * N_COLUMNS])
def test_a_series_has_a_panel_for_the_score_and_one_per_channel(n):
    values = np.random.default_rng(0).standard_normal((n, 2))
    figure = series_scores(
        values[:, 0], 1.0, values, ["a", "cost in $ and $, of a long name"],
        found=[(3, 5), (9, 10)], labelled=[(2, 6)],
    )  # fmt: skip
    assert isinstance(figure, Figure)
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "score", "a", r"cost in \$ and \$, …"
    ]  # fmt: skip
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["threshold", "above the threshold"]
    figure.draw_without_rendering()
