"""Recipes: complete, checked, and enough to repeat a run."""

import tomllib
from dataclasses import replace
from functools import partial

import oracles
import pytest
import torch

from counterplay import features
from counterplay._checkpoint import fingerprint
from counterplay._influence import trace
from counterplay._play import play
from counterplay._recipe import Recipe
from counterplay._toml import read_toml
from counterplay.data.ring import log_density
from counterplay.errors import ConfigError, GameError
from counterplay.metrics.target import of_samples


BASE = {
    "data": {"name": "ring", "n_train": 40, "n_valid": 32, "n_test": 32},
    "nets": {"name": "mlp", "width": 4},
    "game": {"name": "gan", "latent_dim": 2},
    "play": {"n_steps": 6, "batch_size": 8},
    "metric": {"names": ["frechet"], "n": 32},
}


def recipe(**tables):
    return Recipe.from_tables({**BASE, **tables})


def test_the_tables_are_complete_and_make_the_same_recipe_again():
    full = recipe(corrupt={"kind": "noise", "fraction": 0.1})
    tables = full.tables()
    assert list(tables) == ["data", "nets", "game", "play", "corrupt", "features", "metric"]
    assert tables["data"]["n_modes"] == 8
    assert "labelled" not in tables["data"]  # all are, unless told otherwise
    assert tables["nets"]["activation"] == "tanh"
    assert tables["game"]["betas"] == [0.0, 0.99]
    assert tables["play"] == {
        "n_steps": 6, "batch_size": 8, "seed": 0, "every": 0, "memory": "",
        "device": "cpu", "precision": "float32", "memory_format": "channels_last",
    }  # fmt: skip
    assert tables["corrupt"]["n_prototypes"] == 1
    again = Recipe.from_tables(tomllib.loads(full.toml()))
    assert again.tables() == tables
    assert again.splits.train.fingerprint == full.splits.train.fingerprint


def test_a_file_may_hold_further_tables(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(recipe().toml() + "\n[run]\nseconds = 3.0\n")
    assert Recipe.load(path).tables() == recipe().tables()


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        ({"gaem": {}}, r"no table 'gaem'; the nearest is 'game'"),
        (
            {"game": {"name": "gan", "lr": 1.0}},
            r"no key of \[game\] 'lr'; the nearest is 'lr_",
        ),
        ({"game": {"name": "gan", "optimizers": 1}}, r"no key of \[game\] 'optimizers'"),
        (
            {"nets": {"name": "mlp", "widht": 1}},
            r"no key of \[nets\] 'widht'; the nearest is",
        ),
        ({"data": {"name": "ring", "n_mode": 1}}, r"'n_mode'; the nearest is 'n_modes'"),
        ({"play": {"steps": 1}}, r"no key of \[play\] 'steps'; the nearest is 'n_steps'"),
        ({"metric": {"name": "x"}}, r"no key of \[metric\] 'name'; the nearest is 'names'"),
        (
            {"corrupt": {"knid": "noise"}},
            r"no key of \[corrupt\] 'knid'; the nearest is 'kind'",
        ),
        (
            {"features": {"name": "idenity"}},
            r"no feature map 'idenity'; the nearest is 'iden",
        ),
        ({"nets": {"name": "vgg"}}, r"no networks 'vgg'; there are"),
        ({"data": {"name": "cifar"}}, r"no data set 'cifar'; there are"),
        ({"nets": {"width": 3}}, r"The table \[nets\] needs a `name`"),
        ({"features": {"n_steps": 3}}, r"The table \[features\] needs a `name`"),
        ({"metric": {"names": "frechet"}}, r"`metric.names` must be of type list"),
        (
            {"game": {"name": "gan", "lr_g": "x"}},
            r"`game.lr_g` must be of type float.*got 'x'",
        ),
        ({"nets": {"name": "mlp", "width": 2.5}}, r"`nets.width` must be of type int"),
        ({"play": {"n_steps": True}}, r"`play.n_steps` must be of type int.*got True"),
        ({"game": {"name": "gan", "simultaneous": 1}}, r"must be of type bool"),
    ],
)
def test_a_wrong_name_or_kind_is_refused(tables, text):
    with pytest.raises(ConfigError, match=text):
        recipe(**tables)


def test_an_unknown_game_is_refused():
    with pytest.raises(GameError, match=r"no game 'gna'"):
        recipe(game={"name": "gna"})


def test_an_integer_may_stand_for_a_float():
    assert recipe(game={"name": "gan", "lr_g": 1}).tables()["game"]["lr_g"] == 1


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no file '.*none.toml'"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[data\n")
    with pytest.raises(ConfigError, match=r"bad.toml' is not TOML"):
        read_toml(tmp_path / "bad.toml")


def test_recording_plays_as_the_tables_say():
    one = recipe(play={"n_steps": 6, "batch_size": 8, "seed": 5, "every": 2})
    recorded = one.record(one.make_game())
    played = play(
        one.make_game(), one.splits.train, n_steps=6, batch_size=8, seed=5, every=2
    )
    assert sorted(recorded.checkpoints) == [0, 2, 4, 6]
    assert recorded.fingerprints == played.fingerprints


def test_a_seed_changes_the_run_and_shares_the_data():
    one = recipe()
    splits, feature_map = one.splits, one.feature_map
    other = one.with_seed(1)
    assert other.seed == 1
    assert other.splits is splits
    assert other.feature_map is feature_map
    assert fingerprint(one.make_game().initial()) != fingerprint(
        other.make_game().initial()
    )
    assert fingerprint(one.make_game().initial()) == fingerprint(
        recipe().make_game().initial()
    )


def test_the_identity_is_that_of_the_states():
    base = recipe().identity
    assert recipe(metric={"names": ["recall"]}).identity == base
    assert recipe(features={"name": "classifier"}).identity == base
    assert recipe(play={"n_steps": 7}).identity != base
    assert recipe(data={**BASE["data"], "std": 0.03}).identity != base
    assert recipe(corrupt={"kind": "noise", "fraction": 0.1}).identity != base


def test_a_foreign_class_is_only_in_the_training_data():
    one = recipe(corrupt={"kind": "foreign", "fraction": 0.1, "foreign_class": 3})
    assert int(one.planted.sum()) > 0
    for part in (one.splits.valid, one.splits.test):
        assert not (part["y"] == 3).any()


def test_without_corruption_nothing_is_planted():
    assert recipe().planted is None


def test_metrics_of_validation_and_test_data_have_their_own_names_and_latents():
    one = recipe(metric={"names": ["frechet"], "report": ["recall"], "n": 32})
    game = one.make_game()
    (valid,), (test,) = one.targets(game), one.targets(game, "test")
    assert (valid.name, test.name) == (
        "valid_frechet_identity_32",
        "test_frechet_identity_32",
    )
    assert (one.metric_names, one.report_names) == (("frechet",), ("recall",))
    state = game.initial()
    assert valid.value(state) != test.value(state)
    assert set(valid.reads) == set(one.splits.valid.ids)


def test_the_known_density_of_the_data_is_a_metric():
    one = recipe(metric={"names": ["mean_log_density"], "n": 32})
    game = one.make_game()
    (target,) = one.targets(game)
    assert torch.isfinite(torch.tensor(target.value(game.initial())))
    (wide,) = replace(one, data={**BASE["data"], "std": 1.0}).targets(game)
    density = {"log_density": partial(log_density, std=1.0)}
    same = of_samples("mean_log_density", game, n=32, seed=1, options=density)
    assert wide.value(game.initial()) == same.value(game.initial())
    digits = recipe(data={"name": "digits"}, metric={"names": ["mean_log_density"]})
    with pytest.raises(
        ConfigError, match=r"for its \['log_density'\], which 'digits' has not"
    ):
        digits.targets(digits.make_game())


def test_the_modes_of_the_data_are_known_to_metrics():
    one = recipe(metric={"names": ["modes_covered", "reverse_kl"], "n": 32})
    covered, divergence = one.targets(one.make_game())
    game = one.make_game()
    assert 0 <= covered.value(game.initial()) <= 8
    assert divergence.of_real(0).value < 0.5 < divergence.value(game.initial())
    told = {"centres": [[0.0, 0.0], [1.0, 0.0]], "std": 0.1}
    digits = recipe(
        data={"name": "digits"},
        metric={"names": ["modes_covered"], "n": 8, "options": {"modes_covered": told}},
    )
    (target,) = digits.targets(digits.make_game())
    assert target.name == "valid_modes_covered_identity_8_std_0.1"


def test_copies_are_looked_for_among_the_training_data():
    one = recipe(metric={"names": ["authenticity"], "n": 32})
    (target,) = one.targets(one.make_game())
    assert target.name == "train_authenticity_identity_32"
    assert set(target.reads) == set(one.splits.train.ids)


@pytest.mark.filterwarnings("ignore:Feature classifier")  # it hardly learns in 5 steps
def test_a_trained_feature_map_learns_on_validation_data_once():
    one = recipe(features={"name": "classifier", "n_steps": 5, "n_features": 4})
    assert one.feature_map is one.feature_map
    assert one.feature_map(one.splits.test["x"]).shape == (32, 4)


@pytest.mark.filterwarnings("ignore:Feature classifier")
def test_preprocessing_and_a_cache_stand_around_a_feature_map(tmp_path):
    trained = {"name": "classifier", "n_steps": 5, "n_features": 4}
    digits = {"name": "digits"}
    around = {"resize": 8, "quantise": True, "cache": str(tmp_path / "kept")}
    found = recipe(data=digits, features={**trained, **around}).feature_map
    assert isinstance(found, features.Cached)
    assert found.name == "classifier_uint8_bicubic8"
    assert recipe(data=digits, features=trained).feature_map.name == "classifier"


def test_in_float64_a_tiny_change_of_weight_is_predicted_through_the_features():
    found = recipe(
        data={"name": "digits", "dtype": "float64"},
        features={"name": "classifier", "n_steps": 60, "n_features": 8},
        metric={"names": ["frechet"], "n": 64},
    )
    game, data = found.make_game(), found.splits.train
    run, target = found.record(game), found.targets(game)[0]
    influence = trace(game, data, run, target)
    for instance in influence.harm.abs().topk(3).indices.tolist():
        slope = oracles.finite_difference(game, data, run, target, instance)
        assert slope == pytest.approx(float(influence.gradient[instance]), rel=1e-5)


def test_a_feature_map_that_lacks_an_option_is_refused():
    with pytest.raises(ConfigError, match=r"\[features\] of this `name` needs `path`"):
        _ = recipe(features={"name": "saved"}).feature_map


def test_checkpoints_take_what_they_may():
    small = recipe(play={"n_steps": 50, "batch_size": 8, "memory": "10kB"})
    game = small.make_game()
    n_kept = 10_000 // game.initial().n_bytes
    run = small.record(game)
    assert 2 < len(run.checkpoints) <= n_kept
    assert sorted(run.checkpoints)[1] == small.spacing(game) > 7


def test_a_spacing_and_a_budget_are_refused_together():
    both = recipe(play={"n_steps": 50, "batch_size": 8, "memory": "1MB", "every": 5})
    with pytest.raises(ConfigError, match=r"`play.every` or `play.memory`, not both"):
        both.require_playable()


def test_a_device_that_is_not_there_is_refused_before_a_folder_is_made():
    elsewhere = recipe(play={"n_steps": 6, "batch_size": 8, "device": "nowhere"})
    with pytest.raises(GameError, match=r"no device 'nowhere'"):
        elsewhere.require_playable()
