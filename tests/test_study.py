"""A recipe over several seeds: the same whatever the processes, and never done twice."""

import json

import numpy as np
import pytest
import torch

from counterplay import _study
from counterplay._adjoint import FirstOrder
from counterplay._recipe import Recipe
from counterplay._study import (
    as_table,
    baseline_scores,
    cleanse_seeds,
    detection,
    from_table,
    reported,
)
from counterplay.errors import RunError, TraceError


TABLES = {
    "data": {"name": "ring", "n_train": 40, "n_valid": 32, "n_test": 32, "std": 0.1},
    "nets": {"name": "mlp", "width": 4},
    "game": {"name": "gan", "latent_dim": 2},
    "play": {"n_steps": 10, "batch_size": 8, "seed": 3},
    "metric": {
        "names": ["frechet", "average_log_likelihood"],
        "report": ["recall"],
        "n": 32,
    },
}
UNTRACED = {
    "random",
    "isolation forest",
    "density on features",
    "discriminator's score",
    "gradient norm",
}
BASELINES = UNTRACED | {"discriminator's loss"}


@pytest.fixture(scope="module")
def recipe():
    return Recipe.from_tables(TABLES)


@pytest.fixture(scope="module")
def cleansings(recipe):
    return cleanse_seeds(recipe, [3, 4], fractions=(0.1, 0.2))


def test_every_seed_has_every_method_and_metric(cleansings):
    assert len(cleansings) == 2
    influences = {
        "influence on valid_frechet_identity_32",
        "influence on valid_average_log_likelihood_identity_32",
    }
    assert set(cleansings[0].methods) == influences | BASELINES
    assert set(cleansings[0].after) == {
        "valid_frechet_identity_32",
        "test_frechet_identity_32",
        "test_average_log_likelihood_identity_32",
        "test_recall_identity_32",
    }
    assert cleansings[0].before != cleansings[1].before


def test_the_first_seed_is_the_run_of_the_recipe(recipe, cleansings):
    game = recipe.make_game()
    final = recipe.record(game).final
    for target in reported(recipe, game):
        assert cleansings[0].before[target.name] == target.value(final)


@pytest.mark.slow  # processes must load PyTorch first
def test_results_do_not_depend_on_processes(recipe, cleansings):
    parallel = cleanse_seeds(recipe, [3, 4], fractions=(0.1, 0.2), n_jobs=2)
    assert [as_table(one) for one in parallel] == [as_table(one) for one in cleansings]


def test_a_finished_seed_is_read_and_a_lost_result_made_from_its_bank(
    recipe, cleansings, tmp_path, monkeypatch
):
    reference = [as_table(one) for one in cleansings]
    seen = []
    options = {"fractions": (0.1, 0.2), "folder": tmp_path, "on_seed": seen.append}
    assert [as_table(one) for one in cleanse_seeds(recipe, [3, 4], **options)] == reference
    assert [as_table(one) for one in seen] == reference
    (tmp_path / "4/cleansing.json").unlink()
    bank = (tmp_path / "4/bank.jsonl").read_bytes()
    assert [as_table(one) for one in cleanse_seeds(recipe, [3, 4], **options)] == reference
    assert (tmp_path / "4/bank.jsonl").read_bytes() == bank  # nothing was retrained

    def refuse(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr(_study, "trace", refuse)
    assert [as_table(one) for one in cleanse_seeds(recipe, [3, 4], **options)] == reference


def test_a_result_of_other_settings_is_not_taken(recipe, tmp_path):
    first = cleanse_seeds(recipe, [3], fractions=(0.1,), folder=tmp_path)
    second = cleanse_seeds(recipe, [3], fractions=(0.2,), folder=tmp_path)
    assert first[0].fractions == (0.1,)
    assert second[0].fractions == (0.2,)


def test_a_damaged_result_is_named(recipe, tmp_path):
    cleanse_seeds(recipe, [3], fractions=(0.1,), folder=tmp_path)
    (tmp_path / "3/cleansing.json").write_text('{"key": ')
    with pytest.raises(RunError, match=r"cleansing.json' is damaged: .* Delete it"):
        cleanse_seeds(recipe, [3], fractions=(0.1,), folder=tmp_path)


def test_only_the_last_epochs_can_be_retrained():
    longer = Recipe.from_tables({**TABLES, "play": {**TABLES["play"], "n_steps": 20}})
    (whole,) = cleanse_seeds(longer, [3], fractions=(0.2,))
    (last,) = cleanse_seeds(longer, [3], fractions=(0.2,), last_epochs=1)
    assert last.before == whole.before
    row = whole.methods.index("random")  # removes the same instances either way
    after = [one.after["test_frechet_identity_32"][row] for one in (whole, last)]
    assert not np.allclose(*after)


def test_another_adjoint_can_be_asked_for(recipe):
    with pytest.raises(TraceError, match="carries nothing between players"):
        cleanse_seeds(recipe, [3], fractions=(0.1,), adjoint=FirstOrder())


def test_the_number_of_threads_is_put_back(recipe):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        cleanse_seeds(recipe, [3], fractions=(0.1,))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_result_survives_json(cleansings):
    again = from_table(json.loads(json.dumps(as_table(cleansings[0]))))
    assert as_table(again) == as_table(cleansings[0])
    assert again.rows() == cleansings[0].rows()


def test_baselines_score_every_instance(recipe):
    game = recipe.make_game()
    trajectory = recipe.record(game)
    scores = baseline_scores(recipe, game, trajectory)
    assert set(scores) == UNTRACED
    for score in scores.values():
        assert score.shape == (40,)
        assert torch.isfinite(score).all()


@pytest.mark.filterwarnings("ignore:Feature classifier")  # it hardly learns in 20 steps
def test_trained_features_give_one_more_baseline():
    features = {"name": "classifier", "n_steps": 20, "n_features": 4}
    recipe = Recipe.from_tables({**TABLES, "features": features})
    game = recipe.make_game()
    scores = baseline_scores(recipe, game, recipe.record(game))
    assert set(scores) == UNTRACED | {"isolation forest on features"}


def test_precision_counts_planted_instances_among_the_first():
    recipe = Recipe.from_tables({**TABLES, "corrupt": {"kind": "noise", "fraction": 0.1}})
    ids = recipe.splits.train.ids
    planted = [ids[int(row)] for row in recipe.planted.nonzero()]
    others = [name for name in ids if name not in planted]
    (one,) = cleanse_seeds(recipe, [0], fractions=(0.2,))
    removed = dict.fromkeys(one.methods, tuple(others[:8]))
    removed["random"] = (*planted[:3], *others[:1], planted[3], *others[1:4])
    made = from_table({**as_table(one), "removed": removed})
    found = detection(recipe, [made])
    assert found["k"] == found["n_planted"] == 4
    assert found["precision"]["random"] == 0.75
    assert found["precision"]["gradient norm"] == 0.0


def test_without_planted_instances_there_is_nothing_to_detect(recipe, cleansings):
    assert detection(recipe, cleansings) is None
