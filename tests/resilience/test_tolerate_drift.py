"""Verbs on a run that was recorded elsewhere, where its last bits came out otherwise."""

import json
from pathlib import Path

import pytest

from counterplay import _tape, _trajectory
from counterplay.__main__ import main


@pytest.fixture
def elsewhere(monkeypatch):
    """Let every move that is played again come out a little larger."""
    for module in (_tape, _trajectory):
        step = module.step

        def other(*arguments, step=step, **options):
            state, losses = step(*arguments, **options)
            larger = {
                name: tensor * (1 + 1e-3) if name.startswith("params/") else tensor
                for name, tensor in state.tensors().items()
            }
            return state.with_tensors(larger), losses

        monkeypatch.setattr(module, "step", other)


def test_a_trace_elsewhere_is_refused_unless_it_may_drift(run, elsewhere, capsys):
    words = ["trace", "run", "--instances", "3"]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert (
        "ReplayError: The replay differs from the recorded run at move 12, after" in error
    )
    assert "(`--tolerate-drift`)" in error
    assert main([*words, "--tolerate-drift"]) == 0
    told = capsys.readouterr().out
    assert "Replayed states differ from the recorded ones by at most 0.0" in told
    drift = json.loads((run / "trace.json").read_text())["drift"]
    assert set(drift) == {"3", "6", "9", "12"}
    assert all(1e-4 < relative < 1e-1 for relative in drift.values())
    assert main(["report", "run"]) == 0
    assert (
        "Replayed states differ from the recorded ones" in (run / "report.html").read_text()
    )


def test_a_trace_where_the_run_was_played_does_not_drift(run, capsys):
    assert main(["trace", "run", "--instances", "3", "--tolerate-drift"]) == 0
    drift = json.loads((run / "trace.json").read_text())["drift"]
    assert all(relative < 1e-6 for relative in drift.values())


def test_verify_and_cleanse_take_a_drift_too(run, elsewhere, capsys, monkeypatch):
    words = ["cleanse", "run", "--seeds", "1", "--jobs", "1", "--fractions", "0.1"]
    verify = ["verify", "run", "--instances", "3", "--also", "first_order"]
    assert main([*words, "--tolerate-drift"]) == 0
    capsys.readouterr()
    assert main([*words, "--resume"]) == 0
    kept = json.loads((run / "seeds/0/cleansing.json").read_text())["cleansing"]["drift"]
    assert set(kept) == {"3", "6", "9", "12"}
    assert "Seed 0: Replayed states differ from the recorded" in capsys.readouterr().out
    assert main([*verify[:4], "--tolerate-drift"]) == 0
    assert Path("run/verify.json").exists()
