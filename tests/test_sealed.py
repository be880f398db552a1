"""JSON that shows when it was damaged."""

import errno
import json
import os

import numpy as np
import pytest

from counterplay import _sealed
from counterplay._sealed import (
    append_line,
    checksum,
    dumps,
    loads,
    read_lines,
    seal,
    unseal,
)
from counterplay.errors import RunError


VALUE = {"name": "frechet", "values": [1 / 3, -0.0, 1e-300, float("inf")], "n": 3}


def each_flip(content):
    # The bytes with one bit changed, for every bit.
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            yield bytes(damaged)


def test_what_was_sealed_comes_back():
    assert unseal(seal(VALUE)) == VALUE
    assert loads(dumps([VALUE, {}]).encode()) == [VALUE, {}]
    assert loads(dumps({"x": np.arange(2.0)}).encode()) == {"x": [0.0, 1.0]}


def test_order_and_layout_do_not_matter():
    turned = dict(reversed(VALUE.items()))
    assert checksum(turned) == checksum(VALUE)
    assert loads(json.dumps(seal(VALUE), indent=7).encode()) == VALUE


def test_what_was_written_without_a_checksum_is_read():
    assert loads(b'[{"a": 1}]') == [{"a": 1}]


def test_every_flipped_bit_is_found_or_harmless():
    for damaged in each_flip(dumps(VALUE).encode()):
        try:
            found = loads(damaged)
        except ValueError:
            continue
        assert found == VALUE  # blanks, and the name of the checksum


def test_what_is_no_object_is_refused():
    with pytest.raises(ValueError, match=r"3 is no object"):
        loads(b"3")
    with pytest.raises(TypeError, match=r"set cannot be written as JSON"):
        dumps({"x": {1}})


def test_lines_are_read_in_order(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    for i in range(3):
        append_line(path, {"i": i})
    assert read_lines(path) == [{"i": 0}, {"i": 1}, {"i": 2}]


def test_wherever_a_line_is_cut_off_the_ones_before_it_stay_and_the_next_fits(tmp_path):
    path = tmp_path / "lines.jsonl"
    append_line(path, {"i": 0})
    append_line(path, {"i": 1})
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        before = read_lines(path)
        assert before == [
            {"i": i} for i in range((size >= first - 1) + (size >= len(whole) - 1))
        ]
        append_line(path, {"i": 2})
        assert read_lines(path) == [*before, {"i": 2}]


def test_a_damaged_line_is_named_and_costs_no_other(tmp_path):
    path = tmp_path / "lines.jsonl"
    for i in range(3):
        append_line(path, {"i": i})
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b"1", b"7", 1)
    path.write_bytes(b"\n".join(lines))
    with pytest.warns(
        UserWarning, match=r"lines.jsonl' is damaged in lines \[2\], which are"
    ):
        assert read_lines(path) == [{"i": 0}, {"i": 2}]


@pytest.mark.filterwarnings("ignore:.*is damaged in lines")
def test_no_flipped_bit_changes_what_is_read(tmp_path):
    path = tmp_path / "lines.jsonl"
    for i in range(2):
        append_line(path, {"i": i})
    for damaged in each_flip(path.read_bytes()):
        path.write_bytes(damaged)
        assert all(entry["i"] in (0, 1) for entry in read_lines(path))


def test_a_disk_that_takes_half_a_line_says_so_and_the_next_call_mends_it(
    tmp_path, monkeypatch
):
    path = tmp_path / "lines.jsonl"
    append_line(path, {"i": 0})

    def full(number):
        os.truncate(path, path.stat().st_size - 5)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_sealed.os, "fsync", full)
        with pytest.raises(
            RunError, match=r"could not be written: No space left .*`--resume`"
        ):
            append_line(path, {"i": 1})
    assert read_lines(path) == [{"i": 0}]
    append_line(path, {"i": 1})
    assert read_lines(path) == [{"i": 0}, {"i": 1}]
