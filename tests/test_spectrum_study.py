"""The study of last layers: its mechanism without training, its detector, its files."""

import dataclasses
import json
from pathlib import Path

import pytest
import tomli_w
import torch
from torch.nn import functional

from counterplay import _experiment
from counterplay.__main__ import main
from counterplay._recipe import Recipe
from counterplay._spectrum_study import (
    called_fake,
    decay_features,
    decay_fit,
    generated,
    learnt_detector,
    Swap,
    swap_last_layer,
    tail_ratio,
)
from counterplay.errors import ConfigError, DataError
from counterplay.metrics.spectrum import azimuthal_profile
from counterplay.nets.upsampling import bilinear, nearest, zero_insertion


RECIPE = {
    "data": {"name": "digits", "size": 16},
    "nets": {"name": "dcgan", "width": 2},
    "game": {"name": "gan", "latent_dim": 3},
    "play": {"n_steps": 4, "batch_size": 8},
    "metric": {"names": ["spectrum_discrepancy"], "n": 16},
}
SPECTRUM = {"last_layers": ["baseline", "N.1.3"], "n": 30, "n_learn": 20}
UPSAMPLINGS = {"Z": zero_insertion, "N": nearest, "B": bilinear}


# --- the mechanism -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "low", "high", "corner"),
    # The high over low power of the card's 200 images, and a bound in the corner.
    [("Z", 0.85, 1.4, 1.5), ("N", 0.08, 0.20, 0.01), ("B", 0.0, 0.03, 0.001)],
)
def test_an_untrained_layer_leaves_its_mark_on_the_tail(kind, low, high, corner):
    random = torch.Generator().manual_seed(0)
    features = torch.randn(200, 16, 32, 32, generator=random).relu()
    features -= features.mean()
    kernel = torch.randn(1, 16, 5, 5, generator=random)
    images = functional.conv2d(UPSAMPLINGS[kind](features), kernel, padding=2)
    assert low < 10 ** tail_ratio(images) < high
    power = azimuthal_profile(images).mean(0)
    assert power[34:].mean() / power[8:16].mean() < corner


# --- features and detectors --------------------------------------------------------------


def fields(n, side, seed):
    """Gaussian fields whose power falls off as r^-alpha, alpha being about 2."""
    random = torch.Generator().manual_seed(seed)
    at = torch.fft.ifftshift(torch.arange(side) - side // 2).double()
    radius = torch.hypot(at[:, None], at)
    radius[0, 0] = torch.inf
    alpha = 2 + 0.15 * torch.randn(n, 1, 1, 1, generator=random)
    noise = torch.randn(n, 1, side, side, generator=random)
    x = torch.fft.ifft2(torch.fft.fft2(noise) * radius ** (-alpha / 2)).real
    return x / x.std((2, 3), keepdim=True)


def imitated(real, upsampling):
    """The fields from their means over 2 x 2 pixels, by the best single 5 x 5 convolution."""
    doubled = upsampling(functional.avg_pool2d(real, 2))
    patches = functional.unfold(doubled[:20], 5, padding=2).mT.flatten(0, 1)
    kernel = torch.linalg.lstsq(patches, real[:20].reshape(-1, 1)).solution
    return functional.conv2d(doubled, kernel.reshape(1, 1, 5, 5), padding=2)


@pytest.fixture(scope="module")
def features():
    n = 400  # 100 to learn from, 300 to judge by
    found = {
        name: decay_features(imitated(fields(n, 64, 1), upsampling))
        for name, upsampling in UPSAMPLINGS.items()
    }
    return {"real": decay_features(fields(n, 64, 0)), **found}


@pytest.mark.parametrize("detector", ["knn", "svm"])
@pytest.mark.parametrize("kind", UPSAMPLINGS)
def test_a_detector_knows_the_fakes_it_learnt_from(features, detector, kind):
    real, fake = features["real"], features[kind]
    learnt = learnt_detector(real[:100], fake[:100], detector)
    assert called_fake(learnt, real[100:]) <= 0.03
    assert called_fake(learnt, fake[100:]) >= 0.97


def test_a_power_law_is_fitted_exactly():
    radii = torch.arange(1, 47, dtype=torch.float64)
    law = 1e6 * (radii - 1).clamp(min=1) ** -3.0  # amplitudes as r^-1.5
    (fit,) = decay_fit(law[None], side=64)
    level = [60 - 30 * torch.tensor(r).log10().item() for r in (34.0, 45.0)]
    assert fit.tolist() == pytest.approx([-1.5, *level])


def test_a_tail_of_fewer_than_three_radii_is_refused():
    profiles = azimuthal_profile(torch.rand(2, 1, 8, 8))
    with pytest.raises(
        DataError, match=r"The tail from 0.75 .* has 1 radii in images of side 8"
    ):
        decay_fit(profiles, side=8)
    assert decay_fit(profiles, side=8, since=0.5).shape == (2, 3)


def test_an_unknown_detector_lists_the_known_ones(features):
    with pytest.raises(ConfigError, match=r"no detector 'mlp'; there are \['knn', 'svm'\]"):
        learnt_detector(features["real"], features["Z"], "mlp")


# --- the experiment ----------------------------------------------------------------------


def file_of(folder, **spectrum):
    path = folder / "swap.toml"
    path.write_text(tomli_w.dumps({**RECIPE, "spectrum": {**SPECTRUM, **spectrum}}))
    return path


def test_every_last_layer_is_measured_against_real_images(tmp_path):
    rows = _experiment.run(file_of(tmp_path), tmp_path / "kept", seeds=[0, 1])
    values = {(row["source"], row["measure"]): row["mean"] for row in rows}
    assert len(values) == len(rows)
    called = {f"called fake by {kind}" for kind in ("knn", "svm")}
    own = {*called, "tail gap", "test_spectrum_discrepancy_identity_16"}
    assert set(values) == {("real", measure) for measure in called} | {
        (name, measure) for name in SPECTRUM["last_layers"] for measure in own
    }
    assert all(values[name, "tail gap"] > 0 for name in SPECTRUM["last_layers"])
    for source in ("real", "baseline"):  # 4 moves make noise, which anything tells apart
        right = float(source == "baseline")
        assert values[source, "called fake by knn"] == pytest.approx(right, abs=0.1)
    for seed in (0, 1):
        profiles = json.loads((tmp_path / "kept" / f"profiles_{seed}.json").read_text())
        assert list(profiles) == ["real", "baseline", "N.1.3"]
        assert len(profiles["real"]["mean"]) == len(profiles["N.1.3"]["std"]) == 12


def test_the_command_draws_the_profiles(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", file_of(tmp_path).name, "--seeds", "1"]) == 0
    assert "tail gap" in capsys.readouterr().out
    assert "real" in Path("runs/swap/profiles.svg").read_text()
    assert "tail gap" in Path("runs/swap/results.csv").read_text()


def test_finished_runs_are_not_played_again(tmp_path, monkeypatch):
    recipe, swap = Recipe.from_tables(RECIPE), Swap(**SPECTRUM)
    first = swap_last_layer(recipe, swap, tmp_path)
    monkeypatch.delattr("counterplay._play.recorded_move")
    assert swap_last_layer(recipe, swap, tmp_path) == first


def test_images_are_rounded_as_files_are():
    recipe = Recipe.from_tables(RECIPE)
    game = recipe.make_game()
    images = generated(game, game.initial(), 5, seed=0)
    levels = (images + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert torch.equal(generated(game, game.initial(), 5, seed=0), images)
    assert not torch.equal(generated(game, game.initial(), 5, seed=1), images)


def test_too_few_real_images_are_refused(tmp_path):
    recipe = Recipe.from_tables(RECIPE)
    with pytest.raises(DataError, match=r"valid part .* has 360 images, but 400 are"):
        swap_last_layer(recipe, Swap(n_learn=400), tmp_path)


@pytest.mark.parametrize("wrong", [{"last_layers": []}, {"n": 0}, {"n_learn": 4}])
def test_a_study_of_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"needs at least 1 of `last_layers`, .*; got \["):
        Swap(**wrong)


def test_a_game_that_generates_nothing_is_refused():
    game = dataclasses.replace(Recipe.from_tables(RECIPE).make_game(), sample=None)
    with pytest.raises(DataError, match="`sample` is None: it generates nothing"):
        generated(game, game.initial(), 5, seed=0)


def test_networks_without_a_last_layer_are_refused(tmp_path):
    recipe = Recipe.from_tables({**RECIPE, "nets": {"name": "mlp"}})
    with pytest.raises(ConfigError, match="'mlp' have no option 'last_layer'"):
        swap_last_layer(recipe, Swap(**SPECTRUM), tmp_path)
