"""The examples of own networks, at small size: refused where they must be, and right."""

import importlib
from pathlib import Path

import pytest


EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.mark.slow
def test_the_influence_of_an_own_dcgan_predicts_removals(example, capsys):
    tau = example("own_gan").main(n_steps=200, last=20, instances=16)
    assert "Player 'D' has a BatchNorm2d at '3'" in capsys.readouterr().out
    assert tau > 0.8


@pytest.mark.slow
def test_the_influence_of_an_own_sngan_predicts_removals(example):
    assert example("own_sngan").main(n_steps=100, last=12, instances=10) > 0.8
