"""Finished retrainings are never lost, and never taken for others."""

import errno
import json

import pytest

from counterplay import _sealed
from counterplay._bank import Bank
from counterplay.errors import RunError


def test_values_are_there_when_the_file_is_opened_again(tmp_path):
    bank = Bank(tmp_path / "bank.jsonl")
    bank["a"] = [1 / 3, float("inf")]
    bank.update({"b": [2.0], "c": [3.0]})
    again = Bank(tmp_path / "bank.jsonl")
    assert dict(again) == dict(bank) == {"a": [1 / 3, float("inf")], "b": [2.0], "c": [3.0]}
    assert len(again) == 3
    del again["a"]
    assert list(again) == ["b", "c"]


def test_runs_that_were_played_at_once_are_kept_whole_or_not_at_all(tmp_path):
    path = tmp_path / "bank.jsonl"
    Bank(path).update({"a": [1.0], "b": [2.0]})
    whole = path.read_bytes()
    for size in range(len(whole) - 1):
        path.write_bytes(whole[:size])
        assert not Bank(path)


def test_a_torn_last_line_is_replaced_by_the_next(tmp_path):
    path = tmp_path / "bank.jsonl"
    bank = Bank(path)
    bank["a"], bank["b"] = [1.0, 0.1], [2.0]
    path.write_bytes(path.read_bytes()[:-4])
    bank = Bank(path)
    assert dict(bank) == {"a": [1.0, 0.1]}
    bank["c"] = [3.0]
    bank["b"] = [4.0]
    assert dict(Bank(path)) == {"a": [1.0, 0.1], "b": [4.0], "c": [3.0]}


def test_lines_from_before_there_were_checksums_are_read(tmp_path):
    path = tmp_path / "bank.jsonl"
    old = [{"run": "a", "values": [1.0]}, {"run": "b", "values": [2.0]}]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    bank = Bank(path)
    bank["c"] = [3.0]
    assert dict(Bank(path)) == {"a": [1.0], "b": [2.0], "c": [3.0]}


@pytest.mark.filterwarnings("ignore:.*is damaged in lines")
def test_no_damaged_byte_changes_a_value(tmp_path):
    path = tmp_path / "bank.jsonl"
    values = {"a": [1.5, -0.25], "b": [2.0, 1e-9]}
    Bank(path).update({"a": values["a"]})
    Bank(path).update({"b": values["b"]})
    content = path.read_bytes()
    for position in range(len(content)):
        for bits in (1, 2, 16, 128):
            damaged = bytearray(content)
            damaged[position] ^= bits
            path.write_bytes(damaged)
            found = dict(Bank(path))
            assert found.items() <= values.items()


def test_a_full_disk_says_what_is_kept(tmp_path, monkeypatch):
    bank = Bank(tmp_path / "bank.jsonl")
    bank["a"] = [1.0]

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_sealed.os, "fsync", full)
    with pytest.raises(RunError, match=r"No space left on device. Everything written"):
        bank["b"] = [2.0]
    assert Bank(tmp_path / "bank.jsonl")["a"] == [1.0]
