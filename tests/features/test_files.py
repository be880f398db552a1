"""Files that are there whole or not at all."""

import pytest
import torch

from counterplay.errors import RunError
from counterplay.features import _files


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "deep" / "down.safetensors"
    rows = torch.randn(3, 4).T  # not contiguous
    _files.write(path, "cached", {"n": [1, 2]}, {"rows": rows})
    kind, facts, tensors = _files.read(path)
    assert (kind, facts) == ("cached", {"n": [1, 2]})
    assert torch.equal(tensors["rows"], rows)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"file' cannot be created: .* Choose a folder"):
        _files.write(tmp_path / "file" / "map", "cached", {}, {})
    (tmp_path / "map").mkdir()
    with pytest.raises(RunError, match="could not be written"):
        _files.write(tmp_path / "map", "cached", {}, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "map"]


def test_a_file_of_another_kind_is_not_read(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        _files.read(tmp_path / "absent")
