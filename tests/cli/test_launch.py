"""Verbs that `torchrun` starts in several processes."""

import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import tomli_w

from counterplay import Influence
from counterplay.__main__ import main
from counterplay.cli import _launch
from counterplay.cli._folder import RunFolder
from counterplay.ranks import ALONE


RECIPE = {
    "data": {"name": "two_d_normal", "n_train": 60, "n_valid": 20, "n_test": 20},
    "nets": {"name": "mlp", "width": 4},
    "game": {"name": "gan", "latent_dim": 2},
    "play": {"n_steps": 12, "batch_size": 6, "every": 4},
    "metric": {"names": ["average_log_likelihood"], "n": 20},
}


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(RECIPE))
    return path


def torchrun(*words, n=2):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n)]
    return subprocess.run(
        [*launcher, "-m", "counterplay", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_other_verbs_are_refused_under_torchrun(capsys):
    found = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
    with mock.patch.dict(os.environ, found):
        assert main(["verify", "somewhere"]) == 1
    assert "`counterplay verify` is done by one process" in capsys.readouterr().err


def test_a_run_of_several_processes_is_refused_in_one(recipe, tmp_path, capsys):
    path = tmp_path / "run"
    assert main(["play", "--from", str(recipe), "--out", str(path), "--n-scores", "0"]) == 0
    folder = RunFolder.open(path)
    assert folder.facts["ranks"] == folder.plan.numerics.n_ranks == 1
    folder.note(ranks=3)
    assert RunFolder.open(path).plan.numerics.n_ranks == 3
    assert main(["trace", str(path)]) == 1
    said = capsys.readouterr().err
    assert "is one of 3 processes and cannot go on with 1" in said
    assert "with `torchrun --nproc-per-node 3`" in said


def test_a_single_process_has_nobody_to_tell():
    with _launch.joined() as ranks:
        assert ranks == ALONE
        assert _launch.begun(ranks, lambda: None) is None


@pytest.mark.slow
def test_torchrun_plays_resumes_and_traces_a_run_as_one_process_does(recipe, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert main(["play", "--from", str(recipe), "--out", str(alone)]) == 0
    assert main(["trace", str(alone), "--instances", "2"]) == 0

    played = torchrun("play", "--from", recipe, "--out", together)
    assert played.returncode == 0, played.stderr
    assert played.stdout.count("The run is in") == 1
    kept = sorted((together / "checkpoints").glob("*.safetensors"))
    kept[-1].unlink()
    resumed = torchrun("play", "--out", together, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert sorted((together / "checkpoints").glob("*.safetensors")) == kept
    traced = torchrun("trace", together, "--instances", "2")
    assert traced.returncode == 0, traced.stderr

    ours, theirs = (
        Influence.load(path / "influence_0.npz").gradient for path in (together, alone)
    )
    size = float(theirs.abs().max())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * size)  # in float32


@pytest.mark.slow
def test_an_error_before_the_run_ends_all_processes(tmp_path):
    done = torchrun("play", "--from", tmp_path / "nothing.toml")
    assert done.returncode == 1
    assert "There is no file" in done.stderr
    assert "terminate called" not in done.stderr
