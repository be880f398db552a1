"""A tiny run on points, played once and copied by the tests that need one."""

import shutil
from pathlib import Path

import pytest

from counterplay import _statistics
from counterplay.__main__ import main


TOY = """
[data]
name = "ring"
n_train = 48
n_valid = 32
n_test = 32
std = 0.1
[nets]
name = "mlp"
width = 4
[game]
name = "gan"
latent_dim = 2
[play]
n_steps = 12
batch_size = 8
[metric]
names = ["frechet"]
report = ["average_log_likelihood"]
n = 32
"""


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    """Intervals are tested elsewhere; here they only cost time."""
    monkeypatch.setattr(_statistics, "N_RESAMPLES", 20)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A recipe in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("toy.toml")
    path.write_text(TOY)
    return path


@pytest.fixture(scope="session")
def played(tmp_path_factory):
    """A run folder that has been played and traced; not to be changed."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "toy.toml").write_text(TOY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_statistics, "N_RESAMPLES", 20)
        patch.chdir(folder)
        assert main(["play", "--from", "toy.toml", "--out", "run"]) == 0
        assert main(["trace", "run", "--instances", "4"]) == 0
    return folder / "run"


@pytest.fixture
def run(played, toy):
    """A copy of that folder in the working folder."""
    shutil.copytree(played, "run")
    return Path("run")
