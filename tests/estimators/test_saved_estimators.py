"""Model folders: what is read again is what was written, to the last bit."""

import shutil
import tomllib

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from counterplay import estimators
from counterplay._influence import trace
from counterplay.errors import ConfigError, RunError
from counterplay.estimators import _saved, load, MADGAN, save, WindowPCA


SMALL = {"n_steps": 9, "batch_size": 8, "width": 3, "window": 8, "n_inversion": 2}


def series(n=80, seed=0):
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(n) / 4)
    return np.stack([wave, wave**2], 1) + 0.1 * rng.standard_normal((n, 2))


@pytest.fixture(scope="module")
def fitted():
    return MADGAN(**SMALL, random_state=1).fit(series())


@pytest.fixture(scope="module")
def written(fitted, tmp_path_factory):
    return save(fitted, tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(written, tmp_path):
    """A copy of the model that may be damaged."""
    return shutil.copytree(written, tmp_path / "model")


def test_a_model_that_was_read_again_scores_to_the_same_bits(fitted, written):
    read, fresh = load(written), series(50, seed=1)
    assert read.get_params() == fitted.get_params()
    assert read.threshold_ == fitted.threshold_
    for X in (series(), fresh):
        assert (read.outlier_scores(X) == fitted.outlier_scores(X)).all()
        assert (read.predict(X) == fitted.predict(X)).all()
    assert (read.outlier_scores_ == fitted.outlier_scores_).all()


def test_a_model_that_was_read_again_can_be_traced(fitted, written):
    read = load(written)
    target = fitted.reconstruction_target(series(40, seed=2))
    gradients = [
        trace(one.game_, one.data_, one.trajectory_, target).gradient
        for one in (fitted, read)
    ]
    assert torch.equal(*gradients)
    assert read.data_.ids == fitted.data_.ids
    assert gradients[0].any()


def test_a_detector_without_a_game_is_kept_too(tmp_path):
    fitted = WindowPCA(window=6, n_components=3).fit(series())
    read = load(save(fitted, tmp_path / "model"))
    assert (read.outlier_scores(series(30)) == fitted.outlier_scores(series(30))).all()
    assert not (tmp_path / "model" / "checkpoints").exists()


def test_model_toml_says_what_was_fitted(written):
    tables = tomllib.loads((written / "model.toml").read_text())
    assert tables["model"]["estimator"] == "mad_gan"
    assert tables["parameters"]["n_steps"] == 9
    assert "pca" not in tables["parameters"]  # None
    assert {"version", "created", "torch", "sklearn", "python"} <= set(tables["model"])


def test_nothing_is_written_over(fitted, folder):
    with pytest.raises(RunError, match=r"There is something in '.*model' already"):
        save(fitted, folder)


def test_an_unfitted_detector_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save(MADGAN(), tmp_path / "model")


def test_a_parameter_that_is_no_plain_value_is_named(tmp_path):
    fitted = WindowPCA(window=6, n_components=3).fit(series())
    fitted.threshold = {"quantile"}
    with pytest.raises(
        ConfigError, match=r"The parameter `threshold` is \{'quantile'\}, which"
    ):
        save(fitted, tmp_path / "model")


def test_parameters_of_numpy_and_tuples_come_back_plain(fitted):
    detector = MADGAN(**SMALL)
    detector.weight_r = np.float64(0.5)
    tables = _saved.tables_of(detector, {})
    assert tables["parameters"]["weight_r"] == 0.5
    assert _saved.unfitted(tables).get_params()["weight_r"] == 0.5


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(RunError, match=r"There is no model in '.*nothing': it has no"):
        load(tmp_path / "nothing")


def test_an_unfinished_fit_is_not_a_model(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"has not been fitted to the end.*--resume"):
        load(folder)


def test_a_changed_model_toml_is_noticed(folder):
    path = folder / "model.toml"
    path.write_text(path.read_text().replace("window = 8", "window = 9"))
    with pytest.raises(RunError, match="its checksum does not fit"):
        load(folder)
    path.write_text("window = ")
    with pytest.raises(RunError, match=r"model.toml' is damaged or belongs to something"):
        load(folder)


def test_another_format_names_the_version(folder):
    path = folder / "model.toml"
    path.write_text(path.read_text().replace("format = 1", "format = 7"))
    with pytest.raises(
        RunError, match=r"was written by Counterplay 0.* in format 7; this is"
    ):
        load(folder)


def test_an_unknown_detector_or_parameter_is_named(written):
    tables = _saved.read_tables(written)
    for change in (
        {"model": {**tables["model"], "estimator": "names"}},
        {"parameters": {**tables["parameters"], "depth": 3}},
    ):
        with pytest.raises(RunError, match=r"has no detector '.*' with the parameters"):
            _saved.unfitted({**tables, **change})


def test_damaged_tensors_are_noticed(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"model.safetensors' is damaged or belongs"):
        load(folder)


def test_tensors_of_another_model_are_refused(folder, tmp_path):
    other = save(MADGAN(**SMALL, random_state=2).fit(series()), tmp_path / "other")
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(RunError, match=r"it was not written with model.toml"):
        load(folder)


def test_a_missing_checkpoint_is_named(folder):
    (folder / "checkpoints" / "000000009.safetensors").unlink()
    with pytest.raises(RunError, match="The checkpoint of move 9 is missing"):
        load(folder)


def test_a_detector_of_elsewhere_is_not_saved(tmp_path):
    class Own(WindowPCA):
        pass

    with pytest.raises(ConfigError, match="A Own cannot be kept in a model folder"):
        save(Own(window=6, n_components=3).fit(series()), tmp_path / "model")


def test_the_package_names_its_detectors():
    assert [estimators.detector(name).__name__ for name in estimators.names()] == [
        "MADGAN", "MOGAAL", "SOGAAL", "WindowPCA"
    ]  # fmt: skip
    assert {"MADGAN", "load", "save", "names", "detector"} <= set(dir(estimators))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = estimators.nothing
    with pytest.raises(ConfigError, match=r"There is no detector 'knn'; there are \['mad"):
        estimators.detector("knn")
