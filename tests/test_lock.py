"""One writer per folder."""

import fcntl
import os
import subprocess
import sys
import threading

import pytest

from counterplay import _lock
from counterplay._lock import locked
from counterplay.errors import RunError


HOLD = """
import sys
from pathlib import Path
from counterplay._lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    # Another process that holds the lock until it is killed.
    words = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_another_process_is_refused_and_told_who_writes(holder, tmp_path):
    with (
        pytest.raises(
            RunError, match=f"Process {holder.pid} is writing .*Wait for it or stop"
        ),
        locked(tmp_path / "lock"),
    ):
        pass


def test_a_killed_process_lets_go(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert not (tmp_path / "lock").exists()


def test_one_can_wait_for_the_other(holder, tmp_path):
    threading.Timer(0.2, holder.kill).start()
    with locked(tmp_path / "lock", wait=True):
        assert holder.wait() != 0


def test_a_file_that_its_holder_deleted_guards_nothing(tmp_path, monkeypatch):
    """It was opened while the last holder had it, and locked after that one had deleted it."""
    path, flock, deleted = tmp_path / "lock", fcntl.flock, []

    def late(lock, how):
        if not deleted:
            deleted.append(path.unlink())
        flock(lock, how)

    monkeypatch.setattr(_lock.fcntl, "flock", late)
    with locked(path):
        assert path.exists()
    assert deleted


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunError, match=r"file' cannot be written: .*make it writable"),
        locked(tmp_path / "file" / "lock"),
    ):
        pass
