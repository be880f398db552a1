"""Experiment files, each at a size where it takes a second."""

import numpy as np
import pytest
import tomli_w

from counterplay import _statistics
from counterplay._bank import Bank
from counterplay._experiment import run, summarise
from counterplay._recipe import Recipe
from counterplay.errors import ConfigError


RECIPE = {
    "data": {"name": "2d-normal", "n_train": 40, "n_valid": 32, "n_test": 32},
    "nets": {"name": "mlp", "width": 4},
    "game": {"name": "gan", "latent_dim": 2, "optimizer": "sgd"},
    "play": {"n_steps": 20, "batch_size": 8},
    "metric": {"names": ["average_log_likelihood"], "n": 32},
}
LADDER = {"epochs": [1, 0], "lowered": [0.01, 1.0], "instances": 6, "subsets": 4}
CLEANSING = {"fractions": [0.1, 0.2]}


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(_statistics, "N_RESAMPLES", 20)


def file_of(folder, **tables):
    path = folder / "experiment.toml"
    path.write_text(tomli_w.dumps({**RECIPE, **tables}))
    return path


def test_a_ladder_compares_every_length_and_step(tmp_path):
    ladder = {**LADDER, "fractions": [0.1]}
    rows = run(file_of(tmp_path, ladder=ladder), tmp_path / "kept", seeds=[0, 1])
    numbers = {(row["epochs"], row["change"], row["size"]) for row in rows}
    assert numbers == {
        (epochs, *change)
        for epochs in (1, 0)
        for change in (("instance", 0.01), ("instance", 1.0), ("subset", 0.1))
    }
    assert len(rows) == 2 * (2 * 4 + 2)  # four measures of instances, two of subsets
    for row in rows:
        assert row["n_seeds"] == 2
        assert row["low"] <= row["mean"] <= row["high"]
    by_step = {
        (row["epochs"], row["size"]): row["mean"]
        for row in rows
        if row["measure"] == "pearson"
    }
    assert by_step[1, 0.01] > 0.99  # the derivative is right
    assert by_step[0, 0.01] > 0.99


def test_a_ladder_of_kinked_networks_compares_both_adjoints_with_one_truth(tmp_path):
    nets, ladder = {**RECIPE["nets"], "activation": "relu"}, {**LADDER, "mollified": True}
    run(file_of(tmp_path, nets=nets, ladder=LADDER), tmp_path / "kept", seeds=[0])
    bank = (tmp_path / "kept/bank_0.jsonl").read_bytes()
    path = file_of(tmp_path, nets=nets, ladder=ladder)
    rows = run(path, tmp_path / "kept", seeds=[0])
    assert {(row["epochs"], row["adjoint"]) for row in rows} == {
        (1, "Unroll(last=10)"),
        (1, "Mollified(last=10, width=0.1)"),
        (0, "Unroll(last=20)"),
        (0, "Mollified(last=20, width=0.1)"),
    }
    assert (tmp_path / "kept/bank_0.jsonl").read_bytes() == bank  # nothing is retrained


def test_a_ladder_of_several_metrics_says_how_far_they_agree_on_who_is_harmful(tmp_path):
    path, folder = tmp_path / "experiment.toml", tmp_path / "kept"
    metric = {"names": ["average_log_likelihood", "frechet"], "n": 32}
    ladder = {**LADDER, "epochs": [1], "subsets": 0}
    path.write_text(tomli_w.dumps({**RECIPE, "metric": metric, "ladder": ladder}))
    rows = run(path, folder, seeds=[0])
    (common,) = [row for row in rows if row["change"].startswith("harm to")]
    assert common["metric"] == "valid_average_log_likelihood_identity_32"
    assert common["change"] == "harm to valid_frechet_identity_32"
    assert -1 <= common["mean"] <= 1
    assert len(Bank(folder / "bank_0.jsonl")) == 12  # shared runs


def test_a_ladder_continues_from_its_bank(tmp_path):
    path, folder = file_of(tmp_path, ladder=LADDER), tmp_path / "kept"
    first = run(path, folder, seeds=[3])
    bank = (folder / "bank_3.jsonl").read_bytes()
    assert len(Bank(folder / "bank_3.jsonl")) == 2 * (2 * 6 + 3 * 4) - 2  # drawn twice
    assert run(path, folder, seeds=[3]) == first
    assert (folder / "bank_3.jsonl").read_bytes() == bank


def test_cleansing_has_a_row_per_test_metric_and_method(tmp_path):
    path = file_of(tmp_path, cleansing=CLEANSING)
    rows = run(path, tmp_path / "kept", seeds=[0, 1])
    assert {row["metric"] for row in rows} == {"test_average_log_likelihood_identity_32"}
    methods = [row["method"] for row in rows]
    assert "influence on valid_average_log_likelihood_identity_32" in methods
    assert len(set(methods)) == len(methods)
    for row in rows:
        assert row["fraction"] in CLEANSING["fractions"]
        assert np.isfinite(row["before"])
        assert row["low"] <= row["gain"] <= row["high"]
        assert 0 <= row["p_value_against_baselines"] <= 1


def test_influence_averaged_on_the_way_to_removal_is_one_more_method(tmp_path):
    path = file_of(tmp_path, cleansing={**CLEANSING, "along": 0.2})
    methods = [row["method"] for row in run(path, tmp_path / "kept", seeds=[0, 1])]
    name = "influence on valid_average_log_likelihood_identity_32"
    assert {name, f"{name} along removal"} < set(methods)


def test_finished_seeds_of_a_cleansing_are_not_played_again(tmp_path, monkeypatch):
    path, folder = file_of(tmp_path, cleansing=CLEANSING), tmp_path / "kept"
    first = run(path, folder, seeds=[0])

    def refuse(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr(Recipe, "record", refuse)
    again = run(path, folder, seeds=[0])
    assert [row["gain"] for row in again] == [row["gain"] for row in first]


def test_a_file_that_studies_nothing_is_refused(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"experiment.toml' has neither a table \[ladder\] nor \[cleansing\]",
    ):
        run(file_of(tmp_path), tmp_path / "kept", seeds=[0])


def test_a_summary_keeps_the_lowest_and_the_highest_seed():
    key = {
        "metric": "m", "epochs": 1, "adjoint": "Unroll()", "change": "instance",
        "size": 1.0, "measure": "r",
    }  # fmt: skip
    other = {**key, "epochs": 5}
    rows = [{**key, "value": 0.5}, {**key, "value": 0.2}, {**other, "value": 1.0}]
    assert summarise(rows) == [
        {**key, "mean": 0.35, "low": 0.2, "high": 0.5, "n_seeds": 2},
        {**other, "mean": 1.0, "low": 1.0, "high": 1.0, "n_seeds": 1},
    ]


def test_a_key_that_a_study_does_not_know_is_refused(tmp_path):
    path = file_of(tmp_path, ladder={"epoch": [1]})
    with pytest.raises(ConfigError, match=r"no key of \[ladder\] 'epoch'; .* \['epochs',"):
        run(path, tmp_path / "kept", seeds=[0])


def test_who_plays_may_be_said_and_does_not_change_the_answer(tmp_path):
    path = file_of(tmp_path, ladder={**LADDER, "epochs": [1], "subsets": 0})
    found = {
        executor: run(path, tmp_path / str(executor), seeds=[0], executor=executor)
        for executor in (None, "vmap", "serial")
    }
    for one, other in zip(found["vmap"], found["serial"], strict=True):
        assert one["mean"] == pytest.approx(other["mean"], rel=1e-6)
    assert found[None] == found["vmap"]
    banks = [set(Bank(tmp_path / name / "bank_0.jsonl")) for name in ("vmap", "serial")]
    assert banks[0].isdisjoint(banks[1])
