"""Results as data frames and in notebooks."""

import sys
from dataclasses import replace
from html.parser import HTMLParser

import cases
import numpy as np
import pyarrow as pa
import pytest
import torch

from counterplay._cleanse import Cleansing
from counterplay._influence import Influence
from counterplay._notebook import card
from counterplay._play import play
from counterplay._verify import Agreement, Comparison, Verdict
from counterplay.errors import MissingExtraError


HOSTILE = "<script>alert(1)</script>"
INFLUENCE = Influence(
    metric="valid_frechet_a_8",
    higher_is_better=False,
    value=1.5,
    gradient=torch.tensor([2.0, -1.0, torch.nan, 0.5], dtype=torch.float64),
    weights=torch.ones(4, dtype=torch.float64),
    ids=(HOSTILE, "b", "c", "d"),
    adjoint="Unroll()",
)
AGREEMENT = Agreement(
    "valid_frechet_a_8",
    torch.arange(9),
    (Comparison("Unroll()", "instance", 1.0, np.arange(9.0), np.arange(9.0) ** 3),),
    {"Unroll()": Verdict(True, "it is")},
)
CLEANSING = Cleansing(
    methods=("influence", "random"),
    fractions=(0.1, 0.2),
    higher_is_better={"m": True},
    before={"m": 1.0},
    after={"m": np.array([[2.0, 3.0], [1.0, 0.5]])},
    removed={"influence": ("b",), "random": ("c",)},
)


class Cells(HTMLParser):
    """What stands in a table; elements must nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] in (["td"], ["th"]):
            self.found.append(data)


def test_an_influence_has_a_row_per_instance():
    rows = INFLUENCE.rows()
    assert rows[0] == {"id": HOSTILE, "removal": -2.0, "harm": 2.0, "rank": 1}
    assert rows[2] == {"id": "c", "removal": None, "harm": None, "rank": None}
    assert [row["rank"] for row in rows] == [1, 3, None, 2]


@pytest.mark.parametrize("result", [INFLUENCE, AGREEMENT, CLEANSING])
def test_results_become_tables_of_any_library(result):
    table = result.to_arrow()
    assert isinstance(table, pa.Table)
    assert table.to_pylist() == result.rows()
    pd = pytest.importorskip("pandas", reason="no pandas")
    frame = result.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == table.column_names
    assert len(frame) == len(result.rows())


def test_a_missing_pandas_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"needs the package pandas.*to_arrow"):
        INFLUENCE.to_frame()


def test_a_notebook_shows_both_ends_of_a_ranking_with_markup_as_text():
    text = INFLUENCE._repr_html_()
    assert HOSTILE not in text
    cells = Cells(text).found
    assert cells[:4] == ["id", "removal", "harm", "rank"]
    assert cells[4] == HOSTILE
    assert cells[-1] == "3"
    many = replace(
        INFLUENCE,
        gradient=torch.linspace(1, -1, 50, dtype=torch.float64),
        weights=torch.ones(50, dtype=torch.float64),
        ids=tuple(map(str, range(50))),
    )
    assert len(Cells(many._repr_html_()).found) == 4 * 11


def test_a_notebook_shows_agreement_and_its_verdict():
    text = AGREEMENT._repr_html_()
    assert "Attributable: it is" in text
    assert "kendall" in Cells(text).found


def test_a_notebook_shows_each_method_at_its_best():
    cells = Cells(CLEANSING._repr_html_()).found
    assert cells[6:] == [
        "m",
        "influence",
        "0.2",
        "1",
        "3",
        "2",
        "m",
        "random",
        "0.1",
        "1",
        "1",
        "0",
    ]


def test_a_notebook_shows_runs_and_games():
    case = cases.rival()
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    assert "moves: 4" in run._repr_html_()
    cells = Cells(case.game._repr_html_()).found
    assert cells[:4] == ["player", "network", "parameters", "reads data"]
    assert set(case.game.players) <= set(cells)


def test_a_card_escapes_everything():
    text = card(HOSTILE, {HOSTILE: HOSTILE}, [{HOSTILE: HOSTILE}], HOSTILE)
    assert "<script" not in text
    assert text.count("&lt;script") == 6
