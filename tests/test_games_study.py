"""Games side by side: played once, measured alike, and kept."""

import json

import numpy as np
import pytest

from counterplay import _games_study
from counterplay.__main__ import main
from counterplay._games_study import Check, compare_games, summarise
from counterplay.errors import ConfigError


TABLES = {
    "data": {"name": "digits"},
    "nets": {"name": "mlp", "width": 4},
    "game": {"latent_dim": 12},
    "play": {"n_steps": 6, "batch_size": 20},
    "metric": {"names": ["frechet"], "n": 64},
}


def test_each_game_takes_the_options_that_it_has(tmp_path):
    tables = {**TABLES, "game": {"latent_dim": 12, "harshness": 0.0}}
    rows = compare_games(tables, ["gan", "gman", "acgan"], tmp_path, seeds=[0, 1])
    assert [(row["game"], row["seed"]) for row in rows] == [
        (game, seed) for game in ("gan", "gman", "acgan") for seed in (0, 1)
    ]
    assert len({row["value"] for row in rows}) == 6
    assert rows[0]["parameters"].startswith("G ")
    assert "D4 " in rows[2]["parameters"]


def test_what_is_finished_is_not_played_again(tmp_path, monkeypatch):
    rows = compare_games(TABLES, ["gan"], tmp_path, seeds=[0])
    path = tmp_path / "gan_0.json"
    monkeypatch.setattr(_games_study, "_played", lambda *_: pytest.fail("played again"))
    assert compare_games(TABLES, ["gan"], tmp_path, seeds=[0]) == rows
    monkeypatch.undo()
    path.write_text(path.read_text().replace("gan", "gam"))  # damaged
    again = compare_games(TABLES, ["gan"], tmp_path, seeds=[0])
    assert again[0]["value"] == rows[0]["value"]
    other = {**TABLES, "play": {"n_steps": 8, "batch_size": 20}}
    assert (
        compare_games(other, ["gan"], tmp_path, seeds=[0])[0]["value"] != rows[0]["value"]
    )


def test_the_influence_of_each_game_is_checked(tmp_path):
    rows = compare_games(TABLES, ["wgan_gp"], tmp_path, seeds=[0], check=Check(4, 1))
    assert rows[1]["metric"].startswith("Kendall's tau of valid_frechet")
    assert -1 <= rows[1]["value"] <= 1


def test_a_summary_has_the_mean_and_the_spread():
    rows = [
        {"game": game, "seed": seed, "metric": "m", "value": value, "of_real": 0.5,
         "better": "lower", "parameters": "G 1", "cpu": cpu}
        for game, cpu in {"a": 2.0, "b": 3.0}.items()
        for seed, value in enumerate([1.0, 3.0, 5.0])
    ]  # fmt: skip
    one, other = summarise(rows)
    assert (one["value"], one["low"], one["high"]) == (3.0, 1.0, 5.0)
    assert one["sd"] == pytest.approx(np.std([1, 3, 5], ddof=1))
    assert (one["cpu"], other["cpu"]) == (1.0, 1.5)


@pytest.mark.parametrize(
    ("names", "game", "text"),
    [
        ([], {}, r"no game to compare"),
        (["gan", "acgan"], {"harshness": 1.0}, r"no option of gan, acgan 'harshness'"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, names, game, text):
    with pytest.raises(ConfigError, match=text):
        compare_games({**TABLES, "game": game}, names, tmp_path, seeds=[0])


def test_a_game_that_needs_labels_says_so(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    np.savez(tmp_path / "points.npz", x=x)
    data = {"name": "npz", "path": str(tmp_path / "points.npz")}
    tables = {**TABLES, "data": data, "game": {}}
    with pytest.raises(ConfigError, match=r"'acgan' needs labels, .*'npz' has"):
        compare_games(tables, ["acgan"], tmp_path, seeds=[0])


def test_the_verb_writes_a_table_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["nets.width=4", "metric.n=64", "game.latent_dim=12"]
    words = ["compare", "--games", "gan,bigan", "--seeds", "1", "--n-steps", "4",
             "--batch-size", "20", "--set", *options]  # fmt: skip
    assert main(words) == 0
    folder = tmp_path / "runs" / "compare"
    assert {"results.csv", "runs.csv", "games.svg", "gan_0.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert len((folder / "results.csv").read_text().splitlines()) == 3
    assert json.loads((folder / "bigan_0.json").read_text())
    assert main([*words[:4], "0"]) == 1
