import re

import pytest
from example_run import TEST, VALID

from counterplay.report import charts, drawing, records


@pytest.fixture(scope="module")
def drawn(complete):
    """The charts of the complete run."""
    return charts.draw(records.read(complete))


def test_a_complete_run_has_every_chart(drawn):
    names = list(drawn)
    assert names == [
        "training", "metrics", "influence_0", "verify_0", f"cleansing_{VALID}", f"cleansing_{TEST}",
    ]  # fmt: skip


def test_an_empty_run_has_none(tmp_path):
    assert charts.draw(records.read(tmp_path)) == {}


def test_inline_figures_share_no_ids_and_follow_the_theme(drawn):
    found = [re.findall(r'\bid="([^"]+)"', chart.markup()) for chart in drawn.values()]
    together = [name for ids in found for name in ids]
    assert len(together) == len(set(together))
    for name, chart in drawn.items():
        svg = chart.markup()
        links = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        assert links <= set(re.findall(r'\bid="([^"]+)"', svg)), name
        assert drawing.INK not in svg
        assert "var(--soft)" in svg
        assert "http" not in svg


def test_a_chart_says_what_it_shows(drawn):
    assert "For 20 of them removal improves the metric." in drawn["influence_0"].text
    assert "random" in drawn[f"cleansing_{TEST}"].text
    assert 'role="img" aria-label="Histogram' in drawn["influence_0"].markup()
