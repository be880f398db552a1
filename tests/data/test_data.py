import importlib
import subprocess
import sys

import pytest
import torch

from counterplay import data
from counterplay.errors import ConfigError


def test_every_name_is_a_function_of_the_package():
    for name in data.names():
        assert getattr(data, name).__name__ == name


def test_tools_are_no_data_sets():
    assert "corrupt" not in data.names()
    assert {"Mixture", "Splits", "corrupt", "split", "without_class"} <= set(dir(data))
    for name in dir(data):
        assert callable(getattr(data, name))


def test_a_function_stays_callable_after_its_file_was_imported():
    file = importlib.import_module("counterplay.data.ring")
    assert data.ring is file.ring
    assert data.ring(n_train=5).name == "ring"


def test_load_passes_options_and_accepts_hyphens():
    assert len(data.load("2d-normal", n_train=7).train) == 7
    assert data.load("two_d_normal").name == data.load("two-d-normal").name


def test_any_data_come_in_float64_with_the_same_values_and_labels():
    narrow, wide = data.load("digits"), data.load("digits", dtype="float64")
    for part in ("train", "valid", "test"):
        one, other = getattr(narrow, part), getattr(wide, part)
        assert (one["x"].dtype, other["x"].dtype) == (torch.float32, torch.float64)
        assert torch.equal(one["x"], other["x"].float())
        assert torch.equal(one["y"], other["y"])
    assert data.load("ring", dtype="float32").train["x"].dtype == torch.float32
    with pytest.raises(
        ConfigError, match=r"no `dtype` 'float16' of data.*`play.precision`"
    ):
        data.load("digits", dtype="float16")


def test_a_maker_is_the_function_behind_load():
    assert data.maker("2d-normal") is data.two_d_normal
    with pytest.raises(ConfigError, match="no data set 'mnits'"):
        data.maker("mnits")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"no data set 'mnits'.*'mnist'.*'image_folder'"):
        data.load("mnits")
    with pytest.raises(AttributeError, match="has no attribute 'mnits'"):
        _ = data.mnits


def test_an_unknown_or_missing_option_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'sise'.*It has \['seed', 'size'\]"):
        data.load("digits", sise=8)
    with pytest.raises(
        ConfigError, match="'table' do not fit: missing a required argument: 'path'"
    ):
        data.load("table")


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, counterplay.data as d; d.names();"
        "print(sorted({'sklearn', 'pyarrow', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
