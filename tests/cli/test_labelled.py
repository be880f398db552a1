"""Partly labelled data from the command line."""

import csv
import tomllib
from pathlib import Path

import pytest

from counterplay.__main__ import main


def rows_of(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("toy")
def test_a_classifier_learns_from_some_labels_and_its_errors_are_reported(capsys):
    options = ["--n-steps", "4", "--n-scores", "2", "--out", "half"]
    overrides = [
        "data.labelled=20", "nets.width=4", "game.latent_dim=3", "play.batch_size=8",
        "metric.names=['cross_entropy']",
    ]  # fmt: skip
    game = ["--game", "semi_supervised_gan"]
    assert main(["play", *game, *options, "--set", *overrides]) == 0
    assert tomllib.loads(Path("half/run.toml").read_text())["data"]["labelled"] == 20
    last = rows_of("half/log.csv")[-1]
    assert 0.5 < float(last["valid_classification_error"]) < 1
    assert float(last["valid_cross_entropy"]) > 1
    assert main(["trace", "half", "--instances", "4"]) == 0
    scores = rows_of("half/scores.csv")
    assert sorted({row["label"] for row in scores}) == ["", *"0123456789"]
    assert sum(row["label"] != "" for row in scores) == 20
    assert any(float(row["harm_valid_cross_entropy"]) for row in scores)
    capsys.readouterr()
    assert main(["score", "half", "--output", "csv"]) == 0
    found = {row["metric"] for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    assert found == {"test_cross_entropy", "test_classification_error"}


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["game.name=acgan", "data.labelled=50"], "1028 of 1078 instances have no label"),
        (["data.labelled=5"], "`labelled` must be from 10, one label per class"),
        (["metric.report=['classification_error']"], "`classify` is None"),
    ],
)
def test_what_cannot_be_played_is_refused_before_there_is_a_folder(
    capsys, overrides, message
):
    assert main(["play", "--set", *overrides]) == 1
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()
