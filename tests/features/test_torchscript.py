"""Networks from TorchScript files."""

import warnings

import pytest
import torch
from torch import nn

from counterplay.errors import DataError
from counterplay.features import torchscript


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh())
    path = tmp_path / "lite.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path, module.eval()


def test_a_file_gives_the_networks_features_in_evaluation_mode(file):
    path, module = file
    phi = torchscript(path, n_features=4)
    x = torch.randn(5, 3, requires_grad=True)
    torch.testing.assert_close(phi(x), module(x))
    assert torch.autograd.grad(phi(x).sum(), x)[0].any()
    assert phi.name == "lite"
    assert torchscript(path, name="other").name == "other"
    assert torchscript(path).fingerprint == phi.fingerprint
    assert not any(p.requires_grad for p in phi.module.parameters())


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"There is no file '.*absent.pt'"):
        torchscript(tmp_path / "absent.pt")


def test_a_file_that_is_not_torchscript_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_text("nothing of the kind")
    with pytest.raises(DataError, match=r"weights\.pt' does not hold TorchScript"):
        torchscript(path)
