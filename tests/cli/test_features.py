"""Training a feature map by one command."""

import tomllib
from pathlib import Path

import pytest

from counterplay import features
from counterplay.__main__ import main


@pytest.mark.parametrize(
    ("kind", "printed"),
    [("classifier", "Accuracy "), ("autoencoder", "Squared error ")],
)
def test_a_map_is_trained_saved_and_used_by_runs(kind, printed, toy, capsys):
    out = Path("maps/map.safetensors")
    options = ["--from", "toy.toml", "--n-steps", "150", "--n-features", "8"]
    words = [
        "features",
        "--kind",
        kind,
        *options,
        "--set",
        "data.n_valid=200",
        "features.lr=0.02",
    ]
    assert main([*words, "--seed", "2", "--out", str(out)]) == 0
    phi = features.saved(out)
    text = capsys.readouterr().out
    assert printed in text
    assert phi.fingerprint in text
    assert f"The feature map '{kind}' is in {out}" in text
    assert (phi.n_features, len(phi.trained_on)) == (8, 200)

    chosen = ["features.name=saved", f"features.path={out}", "metric.report=[]"]
    assert main(["play", "--from", "toy.toml", "--out", "run", "--set", *chosen]) == 0
    tables = tomllib.loads(Path("run/run.toml").read_text())
    assert tables["features"]["path"] == str(out.absolute())
    assert f"valid_frechet_{kind}_32" in Path("run/log.csv").read_text()


def test_the_part_the_name_and_further_keys_can_be_chosen(toy, capsys):
    words = ["features", "--kind", "autoencoder", "--from", "toy.toml", "--part", "train"]
    options = ["--name", "mine", "--set", "features.n_steps=100", "features.lr=0.003"]
    assert main([*words, *options, "--out", "map"]) == 0
    phi = features.saved("map")
    assert phi.name == "mine"
    assert len(phi.trained_on) == 48
    assert "The feature map 'mine' is in map" in capsys.readouterr().out


def test_data_alone_need_no_recipe(toy):
    words = ["features", "--kind", "autoencoder", "--data", "ring", "--n-steps", "30"]
    assert main([*words, "--set", "data.n_valid=60", "--out", "map"]) == 0
    assert features.saved("map").shape == (2,)


def test_a_file_that_is_there_is_kept(toy, capsys):
    Path("map").write_text("precious")
    assert main(["features", "--out", "map"]) == 1
    assert "'map' exists already" in capsys.readouterr().err
    assert Path("map").read_text() == "precious"


def test_two_kinds_are_refused(toy, capsys):
    assert main(["features", "--out", "map", "--set", "features.name=autoencoder"]) == 1
    assert "`--kind` is 'classifier', but `--set` gives" in capsys.readouterr().err


def test_an_unknown_key_of_the_training_is_refused(toy, capsys):
    assert main(["features", "--out", "map", "--set", "features.n_stpes=3"]) == 1
    assert "no key of [features] 'n_stpes'; the nearest is 'n_steps'" in (
        capsys.readouterr().err
    )
