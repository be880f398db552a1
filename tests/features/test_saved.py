"""Trained maps from files."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from counterplay import features
from counterplay.errors import DataError
from counterplay.game import Columns


@pytest.fixture(scope="module")
def phi():
    y = torch.arange(100) % 2
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) + 4 * y[:, None]
    data = Columns({"x": x, "y": y}, tuple(map(str, range(100))))
    return features.classifier(data, n_features=4, n_steps=100)


@pytest.fixture
def path(phi, tmp_path):
    phi.save(tmp_path / "map.safetensors")
    return tmp_path / "map.safetensors"


def rewritten(path, change):
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata)


def test_the_kind_is_read_from_the_file(path, phi):
    back = features.saved(str(path))
    assert isinstance(back, features.Classifier)
    assert back.accuracy == phi.accuracy


def test_files_that_hold_no_map_are_refused(path):
    with pytest.raises(DataError, match=r"no file '.*absent' to read"):
        features.saved(path.with_name("absent"))
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="holds no usable feature map"):
        features.saved(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="its head names none of the kinds"):
        features.saved(path)


def test_changed_weights_are_refused(path, phi):
    rewritten(path, lambda tensors: tensors["head.bias"].add_(1))
    with pytest.raises(DataError, match=f"were saved with '{phi.fingerprint}'"):
        features.saved(path)


def test_missing_weights_are_refused(path):
    rewritten(path, lambda tensors: tensors.pop("head.bias"))
    with pytest.raises(DataError, match="holds no usable feature map: Error"):
        features.saved(path)
