"""What feature maps share."""

import sys

import pytest
import torch
from torch import nn

from counterplay import features
from counterplay.errors import DataError, MetricError, MissingExtraError
from counterplay.features._map import check_name, check_rows, identified, optional
from counterplay.typing import FeatureMap


class Overflowing(nn.Module):
    def forward(self, x):
        return torch.where(x > 1, torch.inf, x)


def test_maps_have_a_name_and_a_fingerprint():
    for phi in (features.identity(), features.from_module(nn.Tanh(), "tanh")):
        assert isinstance(phi, FeatureMap)
        assert phi.name
        assert phi.fingerprint


def test_features_that_are_not_finite_are_refused():
    phi = features.from_module(Overflowing(), "wild")
    x = torch.tensor([[0.0, 1.0], [0.0, 2.0], [3.0, 0.0]])
    with pytest.raises(
        MetricError, match=r"'wild' gives NaN or infinity for 2 of 3 .* first is row 1"
    ):
        phi(x)
    assert torch.equal(phi(x[:1]), x[:1])


def test_what_is_not_finite_itself_is_left_to_whoever_made_it():
    x = torch.tensor([[torch.nan, 0.0]])
    assert torch.isnan(check_rows("map", x, x)).any()


def test_another_number_of_features_is_refused():
    with pytest.raises(DataError, match="'map' has `n_features`=3, but gives 2"):
        check_rows("map", torch.zeros(5, 2), torch.zeros(5, 7), 3)


@pytest.mark.parametrize("name", ["", "a/b", "two words"])
def test_a_name_that_does_not_fit_into_a_result_is_refused(name):
    with pytest.raises(DataError, match=f"cannot be called '{name}'"):
        check_name(name)


def test_parts_are_told_apart():
    assert identified("a", "b") != identified("ab")
    assert identified("a", "b") == identified("a", "b")


def test_a_package_that_is_there_is_used():
    assert optional("math", "tau", extra="none", what="none") > 6


@pytest.mark.parametrize(
    ("call", "package", "extra"),
    [
        (features.onnx, "onnxruntime", "onnx"),
        (features.huggingface, "transformers", "transformers"),
        (features.inception, "torch_fidelity", "inception"),
    ],
)
def test_a_missing_extra_is_named(call, package, extra, tmp_path, monkeypatch):
    for module in [package, *sys.modules]:
        if module.partition(".")[0] == package:
            monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "net").write_text("anything")
    with pytest.raises(
        MissingExtraError,
        match=rf"needs the package {package}, .*`pip install .counterplay\[{extra}\]",
    ):
        call(tmp_path / "net")


def test_a_package_that_breaks_says_what_broke(tmp_path, monkeypatch):
    (tmp_path / "broken_extra.py").write_text(
        "try:\n    raise RuntimeError('operator torchvision::nms does not exist\\nmore')\n"
        "except RuntimeError as error:\n    raise ImportError('wrapped') from error\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MissingExtraError, match=r"here: operator torchvision::nms does not"
    ):
        optional("broken_extra", "thing", extra="inception", what="inception")
