from functools import partial

import numpy as np
import pytest
import torch

from counterplay import estimators
from counterplay.errors import ConfigError
from counterplay.estimators._pieces import Pieces
from counterplay.game import Columns


def scale(x, by):
    return x * by


def test_attributes_are_taken_apart_and_put_together():
    class Module:
        __name__ = "module"

    Module.scale = staticmethod(scale)
    pieces = Pieces(Module, {})
    values = {
        "none": None,
        "number": np.int64(3),
        "tuple": (1, "two", [3.5, True]),
        "ids": ("0", "1", "2"),
        "texts": np.array(["a", "b"], dtype=object),
        "nested": {"x": np.arange(3), 2: {"x": np.ones(2, dtype=bool)}},
        "tensor": torch.arange(4.0),
        "call": partial(scale, by=np.float64(2.0)),
        "columns": Columns({"x": torch.ones(2, 3)}, ("p", "q"), kind="row"),
    }
    found = pieces.unpack(pieces.pack(values, "values"))
    assert list(found) == list(values)
    for name in ("none", "number", "tuple", "ids"):
        assert found[name] == values[name]
    assert found["texts"].tolist() == ["a", "b"]
    assert found["nested"]["x"].tolist() == [0, 1, 2]
    assert found["nested"][2]["x"].tolist() == [True, True]
    assert torch.equal(found["tensor"], values["tensor"])
    assert found["call"](3) == 6
    assert found["columns"].fingerprint == values["columns"].fingerprint


def test_what_a_folder_cannot_hold_is_named():
    pieces = Pieces(estimators, {})
    with pytest.raises(ConfigError, match="The attribute 'a' is a object, which a model"):
        pieces.pack(object(), "a")
    with pytest.raises(ConfigError, match=r"which is not a function of 'counterplay.estim"):
        pieces.pack(partial(scale, by=2), "make")


def test_only_functions_of_the_module_are_called():
    pieces = Pieces(estimators, {})
    with pytest.raises(ValueError, match="'importlib' is no function"):
        pieces.unpack({"call": "importlib", "with": [{"tuple": []}, {"dict": []}]})
    with pytest.raises(ValueError, match="'shell' is no kind of value"):
        pieces.unpack({"shell": "true"})
