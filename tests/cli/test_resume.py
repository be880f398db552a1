"""An interrupted verb continues to the same bits, whatever interrupted it."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterplay.__main__ import main
from counterplay.cli import _check, _folder, _log
from counterplay.cli._log import Log


ROOT = Path(_folder.__file__).parents[2]


def contents(folder):
    """The bytes of everything that a run determines."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for pattern in ("checkpoints/*", "*.png")
        for path in folder.glob(pattern)
    }
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return found, [
        {k: v for k, v in row.items() if k not in ("cpu_s", "checksum")} for row in rows
    ]


def interrupt_at(monkeypatch, step, *, before):
    """Press Ctrl-C before or after the row of a move is logged."""
    append = Log.append

    def interrupted(self, move, values):
        if move == step and before:
            raise KeyboardInterrupt
        append(self, move, values)
        if move == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(_log.Log, "append", interrupted)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", [0, 1, 6, 7, 12])
def test_ctrl_c_says_how_to_go_on_and_that_works(
    played, toy, capsys, monkeypatch, step, before
):
    words = ["play", "--from", "toy.toml"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, step, before=before)
        assert main(words) == 130
    error = capsys.readouterr().err
    expected = "play --from toy.toml --out runs/0001-gan-ring --resume"
    assert f"continue with: counterplay {expected}\n" in error
    assert main(shlex.split(expected)) == 0
    assert contents(Path("runs/0001-gan-ring")) == contents(played)


def test_a_finished_run_is_left_alone(run):
    before = contents(run)
    assert main(["play", "--resume", "--out", "run"]) == 0
    assert contents(run) == before


def test_a_torn_last_line_of_the_log_is_written_again(played, run):
    log = run / "log.jsonl"
    log.write_text(log.read_text()[:-20])
    assert main(["play", "--resume", "--out", "run"]) == 0
    assert contents(run) == contents(played)


def test_a_damaged_checkpoint_is_named_and_the_others_are_used(played, run, capsys):
    last = run / "checkpoints/000000012.safetensors"
    last.write_bytes(last.read_bytes()[:-8] + bytes(range(8)))
    assert main(["trace", "run"]) == 1
    error = capsys.readouterr().err
    assert f"The checkpoint '{last}' is damaged" in error
    assert "Delete the file" in error
    last.unlink()
    assert main(["trace", "run"]) == 1
    error = capsys.readouterr().err
    assert "The run 'run' ends at move 9 of 12. Finish it with `counterplay play" in error
    assert main(["play", "--resume", "--out", "run"]) == 0
    assert contents(run) == contents(played)


def test_a_run_whose_log_is_lost_keeps_its_checkpoints(run):
    (run / "log.jsonl").unlink()
    before = sorted((run / "checkpoints").iterdir())
    assert main(["play", "--resume", "--out", "run"]) == 0
    assert sorted((run / "checkpoints").iterdir()) == before


def test_an_interrupted_trace_goes_on_with_its_check(run, monkeypatch, capsys):
    scores = (run / "scores.csv").read_bytes()
    (run / "bank.jsonl").unlink()

    def interrupted(self, name, value):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_folder.RunFolder, "write_json", interrupted)
        assert main(["trace", "run", "--instances", "4", "--resume"]) == 130
    command = capsys.readouterr().err.split("counterplay ")[-1]
    assert command == "trace run --instances 4 --resume\n"
    stamp = (run / "influence_0.npz").stat().st_mtime_ns
    bank = (run / "bank.jsonl").read_bytes()
    assert main(shlex.split(command)) == 0
    assert (run / "influence_0.npz").stat().st_mtime_ns == stamp
    assert (run / "bank.jsonl").read_bytes() == bank
    assert (run / "scores.csv").read_bytes() == scores


def test_an_interrupted_second_trace_does_not_keep_the_verdict_of_the_first(
    run, monkeypatch, capsys
):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    bank = (run / "bank.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(_check, "verify", interrupted)
        assert main(["trace", "run", "--last", "6"]) == 130
    assert main(["report", "run"]) == 0
    left = {path.name for path in run.iterdir()}
    assert not left & {"scores.csv", "scores.parquet", "verify.json", "verify.csv"}
    assert left >= {"influence_0.npz", "trace.json", "report.html"}
    assert (run / "bank.jsonl").read_bytes() == bank


def test_an_interrupted_cleansing_keeps_finished_retrainings(run, monkeypatch, capsys):
    words = ["cleanse", "run", "--seeds", "2", "--jobs", "1", "--fractions", "0.1", "0.2"]
    words += ["--chunk", "4"]
    assert main(words) == 0
    reference = (run / "cleansing.json").read_bytes()
    shutil.rmtree(run / "seeds/1")
    bank = run / "seeds/0/bank.jsonl"
    lines = bank.read_text().splitlines(keepends=True)
    bank.write_text("".join(lines[:3]) + lines[3][:10])
    (run / "seeds/0/cleansing.json").unlink()
    assert main([*words, "--resume"]) == 0
    assert (run / "cleansing.json").read_bytes() == reference


def test_a_killed_run_continues_to_the_same_bits(played, toy):
    """A real `kill -9`, as soon as a few moves are logged."""
    words = [
        sys.executable,
        "-m",
        "counterplay",
        "play",
        "--from",
        "toy.toml",
        "--out",
        "run",
    ]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, env=_environment())
    log = Path("run/log.jsonl")
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 4):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(["play", "--resume", "--out", "run"]) == 0
    assert contents(Path("run")) == contents(played)
    assert not list(Path("run").rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [4.0, 7.0, 10.0])
def test_a_killed_cleansing_continues_to_the_same_numbers(run, seconds):
    words = ["cleanse", "run", "--seeds", "3", "--fractions", "0.1", "0.2"]
    command = [sys.executable, "-m", "counterplay", *words, "--jobs", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=_environment())
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main([*words, "--jobs", "1", "--resume"]) == 0
    found = (run / "cleansing.json").read_bytes()
    shutil.rmtree(run / "seeds")
    assert main([*words, "--jobs", "2"]) == 0
    assert (run / "cleansing.json").read_bytes() == found


def _environment():
    return {"PYTHONPATH": str(ROOT), "PATH": ""}
