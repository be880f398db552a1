"""Recipes name their files from where they stand."""

from pathlib import Path

import pytest

from counterplay._toml import anchored, read_toml
from counterplay.errors import ConfigError


def test_what_is_no_toml_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no file .*none.toml"):
        read_toml(tmp_path / "none.toml")
    for content in (b"a = ", b"a = '\xff'"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad.toml' is not TOML"):
            read_toml(tmp_path / "bad.toml")


def test_relative_paths_become_absolute_and_nothing_else_changes():
    tables = {
        "data": {"name": "npz", "path": "data.npz"},
        "features": {"name": "saved", "path": "/maps/a.safetensors", "cache": ""},
        "game": {"name": "gan"},
    }
    found = anchored(tables, Path("/recipes"))
    assert found["data"] == {"name": "npz", "path": "/recipes/data.npz"}
    assert found["features"] == tables["features"]
    assert found["game"] == tables["game"]
    assert tables["data"]["path"] == "data.npz"
    assert anchored(found, Path("/elsewhere")) == found


def test_a_home_folder_is_found():
    found = anchored({"data": {"path": "~/data"}}, Path("/recipes"))
    assert found["data"]["path"] == str(Path.home() / "data")
