"""Full disks and folders that cannot be written: said in one line, and nothing is lost."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from counterplay import _atomic
from counterplay.__main__ import main
from counterplay.cli import _command


VERBS = {
    "play": ["play", "--from", "toy.toml", "--out", "new"],
    "trace": ["trace", "run", "--instances", "3", "--last", "6"],
    "verify": ["verify", "run", "--instances", "6"],
    "retrain": ["retrain", "run", "--without", "harmful:3", "--out", "new"],
    "cleanse": ["cleanse", "run", "--seeds", "1", "--jobs", "1", "--fractions", "0.1"],
    "report": ["report", "run"],
}
CHANGING = {"run.toml", "log.csv", "log.jsonl", "report.html"}  # they tell the time
SLOW = {"cleanse", "report"}
each_verb = pytest.mark.parametrize(
    "verb",
    [pytest.param(v, marks=[pytest.mark.slow] * (v in SLOW)) for v in VERBS],
)


def contents():
    """The bytes of every file that does not tell the time."""
    return {
        path.as_posix(): path.read_bytes()
        for path in Path().rglob("*")
        if path.is_file() and path.name not in CHANGING
    }


def again(verb):
    """The command that continues."""
    unmade = verb in ("play", "retrain") and not Path("new").exists()
    return VERBS[verb] if unmade or verb == "report" else [*VERBS[verb], "--resume"]


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def refuse(patch, code, after):
    """Let the system refuse to write after so many writes."""
    fsync, done = os.fsync, iter(range(10**6))

    def refused(file):
        if next(done) >= after:
            raise OSError(code, os.strerror(code))
        fsync(file)

    patch.setattr(_atomic.os, "fsync", refused)


@each_verb
def test_a_disk_that_fills_up_is_said_and_what_was_written_is_kept(
    verb, run, tmp_path_factory, monkeypatch, capsys
):
    """It refuses the first write, and one in the middle."""
    copies = [tmp_path_factory.mktemp(name) for name in ("undisturbed", "first", "middle")]
    for copy in copies:
        shutil.copytree(".", copy, dirs_exist_ok=True)
    writes, before = [], contents()
    with monkeypatch.context() as patch:
        patch.chdir(copies[0])
        patch.setattr(_atomic.os, "fsync", writes.append)
        assert main(VERBS[verb]) == 0
        expected = contents()
    for copy, after in ((copies[1], 0), (copies[2], len(writes) // 2)):
        monkeypatch.chdir(copy)
        with monkeypatch.context() as patch:
            refuse(patch, errno.ENOSPC, after)
            assert main(again(verb)) == 1
        error = last_line(capsys)
        assert error.startswith("RunError: ")
        assert "written: No space left on device" in error
        left = contents()
        assert not [name for name in left if Path(name).name.startswith(".")]
        for name, content in left.items():
            assert content in (before.get(name), expected[name]) or name.endswith(".jsonl")
        assert main(again(verb)) == 0
        assert contents() == expected


@pytest.fixture
def disk(tmp_path):
    # A file system of its own: a function that mounts it anew with other options.
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk takes rights that are missing here")

    mount("size=150k")
    yield lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_disk_that_is_full_can_be_enlarged(played, toy, disk, capsys):
    words = ["play", "--from", "toy.toml", "--out", "disk/run"]
    assert main(words) == 1
    assert "could not be written: No space left on device" in last_line(capsys)
    reached = len(list(Path("disk/run/checkpoints").iterdir()))
    assert reached > 1
    assert main([*words, "--resume"]) == 1
    capsys.readouterr()
    disk("size=10m")
    assert main([*words, "--resume"]) == 0
    for path in sorted(played.glob("checkpoints/*")):
        assert (Path("disk/run/checkpoints") / path.name).read_bytes() == path.read_bytes()


def test_a_read_only_disk_is_said_by_every_verb_and_read_by_score(run, disk, capsys):
    disk("size=10m")
    shutil.move("run", "disk/run")
    disk("ro")
    before = contents()
    for verb, words in VERBS.items():
        there = [f"disk/{word}" if word in ("run", "new") else word for word in words]
        assert main(there) == 1, verb
        error = last_line(capsys)
        assert "cannot be written: Read-only file system" in error
        assert "make it writable" in error or "choose another place" in error
    assert main(["play", "--resume", "--out", "disk/run"]) == 1
    assert "Read-only file system" in last_line(capsys)
    assert main(["score", "disk/run"]) == 0
    assert contents() == before


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_a_refusal_that_nobody_foresaw_is_one_line_too(monkeypatch, capsys, code):
    def refused(verb, words):
        raise OSError(code, os.strerror(code), "somewhere")

    monkeypatch.setattr(_command, "call", refused)
    assert main(["list", "games"]) == 1
    error = last_line(capsys)
    assert (
        f"'somewhere' could not be written or read: {os.strerror(code)}. What was" in error
    )


def test_an_error_that_is_no_refusal_is_not_hidden(monkeypatch):
    def wrong(verb, words):
        raise FileNotFoundError(errno.ENOENT, "a mistake of ours")

    monkeypatch.setattr(_command, "call", wrong)
    with pytest.raises(FileNotFoundError, match=r"a mistake of ours"):
        main(["list", "games"])
