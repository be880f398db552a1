"""`counterplay review` without a server: what it needs, and what it opens."""

import sys
import threading

import pytest

from counterplay.__main__ import main
from counterplay.cli import review as module
from counterplay.review import server


@pytest.fixture
def served(monkeypatch):
    """What would have been served, and where."""
    found = {}

    def serve(instances, *, port, on_ready):
        found.update(instances=instances, port=port)
        on_ready("http://127.0.0.1:1/token/")

    monkeypatch.setattr(server, "serve", serve)
    return found


def test_the_page_is_opened_and_its_address_printed(run, served, monkeypatch, capsys):
    opened, there = [], threading.Event()
    monkeypatch.setattr(
        module.webbrowser, "open", lambda url: (opened.append(url), there.set())
    )
    assert main(["review", str(run)]) == 0
    assert there.wait(10)
    assert opened == ["http://127.0.0.1:1/token/"]
    assert "The review is at http://127.0.0.1:1/token/" in capsys.readouterr().out
    assert len(served["instances"]) == 48
    assert served["instances"].files is None


def test_no_browser_opens_none(run, served, monkeypatch):
    monkeypatch.setattr(module.webbrowser, "open", lambda url: pytest.fail("was opened"))
    assert main(["review", str(run), "--no-browser", "--port", "8123"]) == 0
    assert served["port"] == 8123


def test_a_run_without_scores_is_told_to_be_traced(run, served, capsys):
    (run / "trace.json").unlink()
    assert main(["review", str(run)]) == 1
    assert (
        f"has not been traced. Use `counterplay trace {run}` first"
        in capsys.readouterr().err
    )
    assert not served


def test_a_folder_without_a_run_is_refused(tmp_path, served, capsys):
    assert main(["review", str(tmp_path)]) == 1
    assert "There is no run in" in capsys.readouterr().err


def test_a_missing_extra_is_named(run, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "counterplay.review.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["review", str(run)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("MissingExtraError")
    assert 'pip install "counterplay[review]"' in error
