"""Networks that begin where a finished run has ended."""

import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parametrize
from toy_run import _few_resamples as _few_resamples, played as played, toy as toy

from counterplay.__main__ import main
from counterplay._recipe import Recipe
from counterplay.cli._folder import RunFolder
from counterplay.errors import ConfigError
from counterplay.nets.low_rank import Adapter


OTHER = ["play.seed=1", "data.seed=5"]


@pytest.fixture
def source(played, tmp_path, monkeypatch):
    """A finished run, and its final parameters, in the working folder."""
    shutil.copytree(played, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return RunFolder.open(Path("run")).trajectory().final


def recipe(*, nets=None, **tables):
    base = tomllib.loads(Path("run/run.toml").read_text())
    base.pop("run")
    base["nets"] |= {"start": "run", **(nets or {})}
    base |= tables
    return Recipe.from_tables(base)


def test_a_game_begins_with_the_final_parameters_of_the_run(source):
    state = recipe(play={"seed": 7, "n_steps": 4}).make_game().initial()
    assert state.step == 0
    for player, params in state.params.items():
        for name, value in params.items():
            assert torch.equal(value, source.params[player][name])


def test_adapters_start_with_the_same_samples_and_are_all_that_is_trained(source):
    plain, tuned = recipe().make_game(), recipe(nets={"rank": 1}).make_game()
    z = {"z": torch.randn(5, 2).double()}
    first = tuned.initial()
    with torch.no_grad():
        expected = plain.sample(source.view(), z)
        torch.testing.assert_close(tuned.sample(first.view(), z), expected)
    for player, params in first.params.items():
        assert params
        assert {name.rsplit(".", 1)[1] for name in params} == {"left", "right"}
        found = first.buffers[player]["0.parametrizations.weight.original"]
        assert torch.equal(found, source.params[player]["0.weight"])
    module = tuned.modules["G"][0]
    assert isinstance(module.parametrizations.weight[0], Adapter)
    assert parametrize.is_parametrized(module)


@pytest.mark.usefixtures("toy")
def test_a_fine_tuned_run_is_played_traced_and_knows_what_it_began_with(source):
    options = ["--out", "tuned", "--n-steps", "6"]
    start = ["nets.start=run", "nets.rank=1", *OTHER]
    assert main(["play", "--from", "toy.toml", *options, "--set", *start]) == 0
    folder = RunFolder.open(Path("tuned"))
    first = folder.checkpoints[0]
    name = "0.parametrizations.weight.original"
    assert torch.equal(first.buffers["G"][name], source.params["G"]["0.weight"])
    assert main(["trace", "tuned", "--instances", "2"]) == 0

    identity = folder.recipe.identity
    Path("run").rename("moved")  # the path does not matter, what is there does
    text = Path("tuned/run.toml").read_text()
    tables = tomllib.loads(text)
    tables.pop("run")
    tables["nets"]["start"] = "moved"
    assert Recipe.from_tables(tables).identity == identity
    shutil.rmtree("moved")
    again = ["--out", "moved", "--n-steps", "12", "--seed", "9"]
    assert main(["play", "--from", "toy.toml", *again]) == 0
    assert Recipe.from_tables(tables).identity != identity


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"nets": {"width": 5}}, r"'G' of .* has '0\.bias' of shape \(4,\).* has \(5,\)"),
        ({"nets": {"start": "nowhere"}}, r"no file 'nowhere/run\.toml'"),
        ({"game": {"name": "gaan"}}, r"players \['D', 'G'\], but this game has \['D', 'E"),
    ],
)
def test_a_run_of_other_networks_is_refused(tables, message):
    made = recipe(**tables)
    with pytest.raises(ConfigError, match=message):
        made.make_game()


def test_an_unfinished_run_is_refused(source):
    Path("run/checkpoints/000000012.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"ends at move 9 of 12\. Finish it with"):
        recipe().make_game()
