"""Marks: on the disk at once, nobody's lost, and with a way back."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from counterplay.errors import ConfigError, RunError
from counterplay.review import marks as module
from counterplay.review.marks import Marks, Opinion


IDS = ("a.png", "b.png", "c.png", "d.png")
WRITER = """
import sys
from pathlib import Path
from counterplay.review.marks import Marks
marks = Marks(Path(sys.argv[1]), [f"{i}.png" for i in range(1_000)])
for turn in range(1_000_000):
    marks.mark([turn % 1_000], ("remove", "keep")[turn // 1_000 % 2])
    print(marks.revision, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "review.json"


@pytest.fixture
def marks(path):
    return Marks(path, IDS)


def test_what_is_said_is_there_again_after_a_restart(path, marks):
    marks.mark([0, 2], "remove")
    marks.note(2, "a “blurred” <b>")
    again = Marks(path, IDS)
    assert again.rows("remove") == [0, 2]
    assert again.of(2) == Opinion("remove", "a “blurred” <b>")
    assert again.of(1) == Opinion()
    assert again.revision == marks.revision == 2
    assert set(json.loads(path.read_text())["instances"]) == {"a.png", "c.png"}


def test_a_note_and_a_mark_leave_each_other_alone(marks):
    marks.note(1, "why")
    marks.mark([1], "keep")
    marks.mark([1], "")
    assert marks.of(1) == Opinion("", "why")


def test_halves_of_characters_do_not_reach_the_file(path, marks):
    marks.note(0, "a\ud800b")
    assert Marks(path, IDS).of(0).note == "a?b"


def test_undo_takes_back_one_change_after_the_other_also_after_a_restart(path, marks):
    marks.mark([0], "keep")
    marks.mark([0, 1], "remove")
    again = Marks(path, IDS)
    assert again.undoable == "remove for 2 instances"
    assert again.undo() == "remove for 2 instances"
    assert (again.of(0).mark, again.of(1).mark) == ("keep", "")
    assert again.undo() == "keep for a.png"
    assert again.undo() == again.undoable == ""
    assert Marks(path, IDS).rows("keep") == []


def test_what_changes_nothing_needs_no_undo(marks):
    marks.mark([0], "keep")
    marks.mark([0], "keep")
    marks.note(1, "")
    assert marks.revision == 1


def test_only_the_newest_changes_can_be_taken_back(monkeypatch, marks):
    monkeypatch.setattr(module, "N_UNDO", 2)
    for row in range(4):
        marks.mark([row], "keep")
    assert [marks.undo() for _ in range(3)] == ["keep for d.png", "keep for c.png", ""]


def test_a_tab_learns_what_is_newer_than_what_it_knows(marks):
    marks.mark([0], "keep")
    marks.mark([1], "unsure")
    assert marks.since(-1) == {0: Opinion("keep"), 1: Opinion("unsure")}
    assert marks.since(1) == {1: Opinion("unsure")}
    marks.undo()
    assert marks.since(2) == {1: Opinion()}


def test_changes_at_the_same_time_are_all_kept(path):
    ids = [f"{i}.png" for i in range(40)]
    marks = Marks(path, ids)

    def mark_every_fourth(begin):
        for row in range(begin, 40, 4):
            marks.mark([row], "remove")

    threads = [threading.Thread(target=mark_every_fourth, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Marks(path, ids).rows("remove") == list(range(40))
    assert marks.revision == 40


def test_a_killed_writer_loses_nothing_that_it_confirmed(path):
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(30):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        confirmed = 30 + len(writer.stdout.read().splitlines())
    found = Marks(path, [f"{i}.png" for i in range(1_000)])
    assert found.revision in (confirmed, confirmed + 1)  # killed before it said so
    assert len(found.rows("remove")) == min(found.revision, 1_000)


def test_what_could_not_be_written_was_not_said(path, marks):
    marks.mark([0], "keep")
    path.unlink()
    path.mkdir()  # cannot be replaced by a file
    with pytest.raises(RunError, match=r"review.json.* could not be written"):
        marks.mark([0], "remove")
    assert marks.of(0).mark == "keep"
    assert marks.revision == 1


@pytest.mark.parametrize("content", [
    b"{}", b"\x00", b"[]", b'{"revision": 1, "instances": {"z.png": ["keep", ""]}, "undo": []}',
])  # fmt: skip
def test_a_damaged_file_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"review.json' is damaged, or .*move it away"):
        Marks(path, IDS)
    assert path.read_bytes() == content


def test_a_changed_file_is_told_from_what_was_written(path, marks):
    marks.mark([0], "keep")
    path.write_text(path.read_text().replace("keep", "remove"))
    with pytest.raises(RunError, match="checksum"):
        Marks(path, IDS)


def test_unknown_marks_and_instances_and_long_notes_are_refused(marks):
    with pytest.raises(
        ConfigError, match=r"one of \['remove', 'keep', 'unsure'\] or empty, got 'x'"
    ):
        marks.mark([0], "x")
    for row in (-1, 4):
        with pytest.raises(ConfigError, match=f"rows 0 to 3, got {row}"):
            marks.mark([0, row], "keep")
    with pytest.raises(ConfigError, match="at most 5,000 characters, got 5,001"):
        marks.note(0, "x" * 5_001)
    assert marks.revision == 0
