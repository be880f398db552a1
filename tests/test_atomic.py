"""Files that are there whole or not at all."""

import errno

import pytest

from counterplay import _atomic
from counterplay._atomic import write_atomically
from counterplay.errors import RunError


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_atomic.os, "fsync", full)
    with pytest.raises(
        RunError, match=r"could not be written: No space left on device.*intact"
    ):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"could not be written"):
        write_atomically(tmp_path / "file" / "inside", b"")
