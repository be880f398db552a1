"""Files that are there whole or not at all, and give back what was written."""

import pytest
import torch

from counterplay._tensor_files import read_facts, read_tensors, write_tensors
from counterplay.errors import RunError


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "deep" / "down.safetensors"
    rows = torch.randn(3, 4).T  # not contiguous
    write_tensors(path, "cached", {"n": [1, 2]}, {"rows": rows})
    kind, facts, tensors = read_tensors(path)
    assert (kind, facts) == read_facts(path) == ("cached", {"n": [1, 2]})
    assert torch.equal(tensors["rows"], rows)


def test_tensors_are_read_to_where_products_round_as_elsewhere(tmp_path):
    tensors = {f"t{i}": torch.randn(3, i + 1) for i in range(5)}
    write_tensors(tmp_path / "many", "state", {}, tensors)
    read = read_tensors(tmp_path / "many")[2]
    assert all(tensor.data_ptr() % 64 == 0 for tensor in read.values())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"file' cannot be created: .* Choose a folder"):
        write_tensors(tmp_path / "file" / "map", "cached", {}, {})
    (tmp_path / "map").mkdir()
    with pytest.raises(RunError, match="could not be written"):
        write_tensors(tmp_path / "map", "cached", {}, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "map"]


def test_what_is_not_such_a_file_is_said(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_tensors(tmp_path / "absent")
    (tmp_path / "text").write_text("nothing of the kind")
    with pytest.raises(ValueError, match="header"):
        read_facts(tmp_path / "text")
