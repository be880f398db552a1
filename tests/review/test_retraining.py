"""Retraining what was marked: one at a time, watched, cancelled, and not forgotten."""

import json
import time

import pytest

from counterplay._sealed import dumps
from counterplay.cli._folder import RunFolder
from counterplay.report import records
from counterplay.review import retraining as module
from counterplay.review.retraining import Retraining


ENDLESS = "import time; time.sleep(600)"
BROKEN = "import sys; sys.exit('MetricError: there is no such thing')"


def ended(retraining, within_s=120):
    """The last word of a retraining."""
    until = time.monotonic() + within_s
    while retraining.running and time.monotonic() < until:
        time.sleep(0.05)
    assert not retraining.running
    return retraining.snapshot()


@pytest.fixture
def instead(monkeypatch):
    """Have other programs run in place of Counterplay's verbs."""
    real = module.subprocess.Popen

    def use(**programs):
        def popen(command, **options):
            program = programs[command[3]]
            return real([command[0], "-c", program], **options)

        monkeypatch.setattr(module.subprocess, "Popen", popen)

    return use


@pytest.mark.slow
def test_a_run_is_played_again_without_them_and_measured_on_both_sides(played_run):
    retraining = Retraining(records.read(played_run))
    ids = RunFolder.open(played_run).data.ids[:3]
    assert retraining.snapshot() == {"state": "idle"}
    assert retraining.start(ids)
    assert retraining.snapshot()["state"] == "running"
    assert not retraining.start(ids)  # one at a time
    said = ended(retraining)
    assert said["state"] == "done", said["text"]
    assert said["n_removed"] == 3
    child = RunFolder.open(played_run.resolve().with_name("run-reviewed-1"))
    assert said["child"] == str(child.path)
    assert child.removed == list(ids)
    valid, test, likelihood = said["rows"]
    assert valid["metric"] == "valid_frechet_identity_32"
    assert test["metric"] == "test_frechet_identity_32"
    assert likelihood["metric"].startswith("test_average_log_likelihood")
    assert valid["better"] is not None
    assert said["grids"]
    assert retraining.grid("before") == played_run / "fakes_000012.png"
    assert retraining.grid("after") == child.path / "fakes_000012.png"
    # It is there again after a restart, and another one gets a folder of its own.
    assert Retraining(records.read(played_run)).snapshot() == said
    assert retraining._free_folder().name == "run-reviewed-2"


def test_what_is_done_so_far_stands_beside_the_run_at_the_same_move(
    reviewed, instead, tmp_path
):
    instead(retrain=ENDLESS)
    row = {"step": 5, "loss_d": 1.0, "valid_frechet_identity_64": 9.0}
    object.__setattr__(reviewed, "log", [row])
    retraining = Retraining(reviewed)
    assert retraining.start(["a.png"])
    assert retraining.snapshot()["step"] == 0
    child = tmp_path / "0001-gan-digits-reviewed-1"
    child.mkdir()
    lines = [row | {"valid_frechet_identity_64": 7.0}, {"step": 6, "loss_d": 2.0}]
    (child / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = retraining.snapshot()
    assert (said["step"], said["n_steps"]) == (6, 10)
    (metric,) = said["so_far"]
    assert (metric["step"], metric["before"], metric["after"], metric["better"]) == (
        5,
        "9.00",
        "7.00",
        True,
    )
    retraining.cancel()


def test_a_cancelled_one_says_so_and_the_next_can_begin(reviewed, instead):
    instead(retrain=ENDLESS)
    retraining = Retraining(reviewed)
    retraining.start(["a.png"])
    retraining.cancel()
    assert not retraining.running
    assert retraining.snapshot()["state"] == "cancelled"
    assert retraining.start(["a.png"])
    retraining.cancel()


def test_a_failure_is_told_in_the_words_of_the_verb(reviewed, instead):
    instead(retrain=BROKEN)
    retraining = Retraining(reviewed)
    retraining.start(["a.png"])
    said = ended(retraining)
    assert said["state"] == "failed"
    assert said["text"] == "MetricError: there is no such thing"


def test_a_verb_that_dies_in_silence_is_told_by_its_status(reviewed, instead):
    instead(retrain="import os; os._exit(3)")
    retraining = Retraining(reviewed)
    retraining.start(["a.png"])
    assert ended(retraining)["text"] == "`counterplay retrain` ended with status 3."


def test_a_machine_that_can_begin_no_process_says_so(reviewed, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no room for another process")

    monkeypatch.setattr(module.subprocess, "Popen", refuse)
    retraining = Retraining(reviewed)
    retraining.start(["a.png"])
    said = ended(retraining)
    assert (said["state"], said["text"]) == ("failed", "no room for another process")


def test_a_metric_that_cannot_be_measured_does_not_undo_the_retraining(reviewed, instead):
    instead(retrain="", score=BROKEN)
    retraining = Retraining(reviewed)
    retraining.start(["a.png"])
    said = ended(retraining)
    assert said["state"] == "done"
    assert said["text"] == "MetricError: there is no such thing"
    assert said["rows"] == []
    assert not said["grids"]


def test_nobody_to_remove_is_no_retraining(reviewed):
    assert not Retraining(reviewed).start([])


def test_one_that_a_crash_interrupted_says_how_it_is_continued(reviewed):
    (reviewed.folder / "review").mkdir()
    last = {"state": "running", "stage": "playing", "child": "runs/0002"}
    (reviewed.folder / "review" / "retraining.json").write_text(dumps(last))
    said = Retraining(reviewed).snapshot()
    assert said["state"] == "failed"
    assert "--resume --out runs/0002` continues it" in said["text"]


def test_a_damaged_record_of_the_last_one_is_no_obstacle(reviewed):
    (reviewed.folder / "review").mkdir()
    (reviewed.folder / "review" / "retraining.json").write_bytes(b"\x00")
    assert Retraining(reviewed).snapshot() == {"state": "idle"}


@pytest.mark.parametrize(("before", "after", "higher", "better"), [
    (1.0, 2.0, True, True), (1.0, 2.0, False, False), (2.0, 1.0, False, True), (1.0, 1.0, True, None),
])  # fmt: skip
def test_better_is_by_the_direction_of_the_metric(before, after, higher, better):
    assert (
        module._row("valid_frechet_identity_64", before, after, higher)["better"] is better
    )
