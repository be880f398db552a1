"""Two processes on one folder, and processes that are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterplay.__main__ import main
from counterplay.cli import _folder


ROOT = Path(_folder.__file__).parents[2]


def started(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "counterplay", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        start_new_session=True,
    )


def test_the_second_process_on_a_folder_is_refused(toy, capsys):
    with started(
        "play", "--from", "toy.toml", "--out", "run", "--n-steps", "100000"
    ) as first:
        while not Path("run/checkpoints/000000000.safetensors").exists():
            assert first.poll() is None
            time.sleep(0.01)
        for words in (["play", "--resume", "--out", "run"], ["report", "run"]):
            assert main(words) == 1
            error = capsys.readouterr().err
            assert f"Process {first.pid} is writing 'run'. Wait for it or stop it" in error
        os.kill(first.pid, signal.SIGKILL)
    assert main(["report", "run"]) == 0


@pytest.mark.slow
def test_killing_every_verb_at_random_moments_loses_nothing():
    script = ROOT / "benchmarks/kill_loop.py"
    found = subprocess.run(
        [sys.executable, script, "--kills", "18"],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "18 kills, 0 problems" in found.stdout, found.stdout + found.stderr
    assert found.returncode == 0
