"""The page of a fitted detector."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_page import Structure

from counterplay.errors import RunError
from counterplay.report.model import bounds_of, build, Fitted, Spread


HOSTILE = "</td><script>alert(1)</script>"


@pytest.fixture
def fitted(tmp_path):
    """What a fit to a small table found."""
    values = np.random.default_rng(0).standard_normal((60, 3))
    values[7] = [0, 9, 0]
    rows = [{"step": i, "loss_D": 1.0 / (i + 1), "loss_G": 0.5} for i in range(5)]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "scores.csv").write_text("id,score\n")
    return Fitted(
        folder=tmp_path,
        tables={"model": {"estimator": "mo_gaal"}, "data": {"files": ["rows.csv"]}},
        names=("height", "weight", "age"),
        ids=tuple(f"row {i}" for i in range(60)),
        values=values,
        scores=np.abs(values).max(1),
        threshold=3.0,
    )


@pytest.fixture
def series(fitted):
    """The same rows as a series."""
    residuals = np.abs(fitted.values)
    tables = {"model": {"estimator": "mad_gan"}, "data": {"files": ["rows.csv"]}}
    return replace(fitted, residuals=residuals, tables=tables)


def text_of(fitted):
    path = build(fitted)
    assert path == fitted.folder / "report.html"
    text = path.read_text("utf-8")
    Structure(text)  # well-formed
    return text


def test_the_page_of_a_table_ranks_its_rows(fitted):
    text = text_of(fitted)
    assert "MO-GAAL was fitted to 60 rows of 3 columns from rows.csv" in text
    assert text.index("row 7<") < text.index("row 8<")
    assert "weight 9.00 " in text  # what stands out in it
    assert len(Structure(text).all("svg")) == 3
    assert "scores.csv" in text
    assert "influence.csv" not in text
    assert "labelled outlier" not in text
    assert 'id="harmful"' not in text


def test_labels_and_quality_are_shown_where_they_are_known(fitted):
    labels = (np.arange(60) == 7).astype(int)
    quality = {"roc_auc": 0.987, "average_precision": 0.5}
    text = text_of(replace(fitted, labels=labels, quality=quality))
    assert "0.987" in text
    assert "average precision, on the labelled rows" in text
    assert "labelled outlier" in text
    assert "<td>outlier</td>" in text


def test_only_rows_that_hurt_are_listed(fitted):
    harmful = [
        {"row": 7, "id": "row 7", "harm": 0.25},
        {"row": 8, "id": "row 8", "harm": -0.5},
    ]
    text = text_of(replace(fitted, harmful=harmful))
    section = text[text.index('id="harmful"') :]
    assert "0.250" in section
    assert "row 8" not in section
    assert "None is predicted to hurt" in text_of(
        replace(fitted, harmful=[{"row": 8, "id": "row 8", "harm": -0.5}])
    )


def test_the_page_of_a_series_shows_stretches_and_channels(series):
    labels = (np.arange(60) > 50).astype(int)
    harmful = [{"row": 3, "id": "row 3", "harm": 0.1}]
    text = text_of(replace(series, labels=labels, harmful=harmful))
    assert "MAD-GAN was fitted to 60 time stamps of 3 channels" in text
    assert "weight <span" in text
    assert "training windows hurt" in text
    assert "1 stretch above" in text
    assert "No row is above" in text_of(replace(series, threshold=99.0))


@pytest.mark.parametrize("kind", ["fitted", "series"])
def test_names_are_shown_as_text(kind, request):
    found = request.getfixturevalue(kind)
    hostile = replace(
        found,
        names=(HOSTILE, "$x_1$", "c"),
        ids=(HOSTILE,) * 60,
        tables={**found.tables, "data": {"files": [HOSTILE]}},
        harmful=[{"row": 3, "id": HOSTILE, "harm": 0.1}],
    )
    text = text_of(hostile)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_the_page_asks_the_network_for_nothing(fitted):
    text = text_of(fitted)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_stretches_are_first_and_last_rows():
    assert bounds_of(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert bounds_of(np.zeros(3, dtype=bool)) == []


def test_a_constant_column_never_stands_out():
    spread = Spread(("a", "b"), np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert spread.standing_out(np.array([0.0, 9.0])) == [
        {"name": "a", "value": "0.00", "distance": "\u22122.0"},
        {"name": "b", "value": "9.00", "distance": "+0.0"},
    ]


def test_the_page_can_be_made_again_from_the_folder(fitted):
    harmful = [{"row": 7, "id": "row 7", "harm": 0.5, "rank": 1, "removal": 0.5}]
    labels = (fitted.scores > 3).astype(np.int64)
    whole = replace(fitted, labels=labels, harmful=harmful, quality={"roc_auc": 0.9})
    text = text_of(whole)
    whole.save()
    assert text_of(Fitted.load(fitted.folder, fitted.tables)) == text


def test_series_keep_their_residuals(series):
    series.save()
    again = Fitted.load(series.folder, series.tables)
    np.testing.assert_array_equal(again.residuals, series.residuals)
    assert again.labels is None


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_a_folder_without_what_the_page_is_made_of_is_named(fitted, content):
    if content is not None:
        (fitted.folder / "page.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"page.npz, .* missing or damaged. Fit the model"):
        Fitted.load(fitted.folder, fitted.tables)
