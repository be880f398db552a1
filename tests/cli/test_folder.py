"""Run folders: what is refused, and that nothing is lost."""

import errno
import fcntl
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from counterplay import _atomic, _lock
from counterplay.__main__ import main
from counterplay.cli._folder import RunFolder


def change(path, old, new):
    """Edit a file on purpose: without the checksum, which would call it damaged."""
    text = path.read_text()
    assert old in text
    path.write_text(re.sub("^checksum = .*$", "", text.replace(old, new), flags=re.M))


def error_of(capsys, *words):
    capsys.readouterr()
    assert main(list(words)) == 1
    error = capsys.readouterr().err
    return error.splitlines()[-1]


def test_a_folder_without_a_run_says_what_makes_one(toy, capsys):
    Path("empty").mkdir()
    error = error_of(capsys, "report", "empty")
    assert (
        "There is no run in 'empty': it has no run.toml. `counterplay play` makes" in error
    )


def test_a_folder_of_another_format_names_its_version(run, capsys):
    change(run / "run.toml", "format = 1", "format = 99")
    change(run / "run.toml", 'version = "0.1.0"', 'version = "7.2"')
    error = error_of(capsys, "trace", "run")
    assert "was written by Counterplay 7.2 in format 99" in error
    assert "Use that version, or play the run again with `--from run`" in error


def test_changed_data_is_refused(toy, capsys):
    random = np.random.default_rng(0)
    arrays = {part: random.normal(size=(16, 2)) for part in ("train", "valid", "test")}
    np.savez("data.npz", **{f"x_{part}": x for part, x in arrays.items()})
    change(
        toy,
        'name = "ring"\nn_train = 48\nn_valid = 32\nn_test = 32\nstd = 0.1',
        'name = "npz"\npath = "data.npz"',
    )
    assert main(["play", "--from", "toy.toml", "--out", "run"]) == 0
    arrays["train"][3] += 1
    np.savez("data.npz", **{f"x_{part}": x for part, x in arrays.items()})
    for verb in ("trace", "cleanse", "report"):
        error = error_of(capsys, verb, "run")
        assert re.search("The data of 'run' has changed: .* has fingerprint", error)
        assert "Bring the original data back, or play a new run" in error


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--n-steps", "99"], "was begun with play.n_steps = 12 and cannot go on with 99"),
        (
            ["--game", "lqgan"],
            "was begun with game.name = 'gan' and cannot go on with 'lqgan'",
        ),
        (["--set", "metric.n=64"], "was begun with metric.n = 32 and cannot go on with 64"),
    ],
)
def test_a_run_is_not_continued_as_another(run, capsys, options, text):
    assert text in error_of(capsys, "play", "--resume", "--out", "run", *options)


def test_an_edited_recipe_does_not_fit_its_checkpoints(run, capsys):
    change(run / "run.toml", "lr_g = 0.001", "lr_g = 0.002")
    assert "the data or a setting has changed" in error_of(capsys, "trace", "run")


def test_resuming_needs_a_folder(toy, capsys):
    for words in (["play"], ["run"]):
        assert "`--resume` needs `--out`" in error_of(capsys, *words, "--resume")


def test_an_existing_folder_is_not_overwritten(run, capsys):
    before = (run / "run.toml").read_bytes()
    error = error_of(capsys, "play", "--from", "toy.toml", "--out", "run")
    assert "There is something in 'run' already. Continue it with `--resume`" in error
    assert (run / "run.toml").read_bytes() == before
    assert not list(Path().glob(".new-*"))


def test_a_place_that_cannot_be_written_is_named(toy, capsys):
    Path("file").write_text("")
    error = error_of(capsys, "play", "--from", "toy.toml", "--out", "file/run")
    assert "The folder 'file' cannot be written" in error
    assert "choose another place with `--out`" in error


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--n-steps", "0"], "`play.n_steps` must be at least 1, got 0"),
        (["--batch-size", "49"], "fewer than one batch of 49"),
        (["--set", "game.loss=sad"], "There is no loss 'sad'"),
        (["--set", 'metric.names=["frehet"]'], "The nearest is 'frechet'"),
    ],
)
def test_a_recipe_that_cannot_be_played_leaves_no_folder(toy, capsys, words, text):
    assert text in error_of(capsys, "play", "--from", "toy.toml", "--out", "run", *words)
    assert sorted(Path().iterdir()) == [toy]


def test_two_processes_do_not_write_one_folder(run, capsys):
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        error = error_of(capsys, "trace", "run")
    assert "Process 4711 is writing 'run'. Wait for it or stop it" in error


def test_the_lock_of_a_dead_process_is_taken_over(run):
    (run / "lock").write_text("4711")
    with RunFolder.open(run).locked():
        assert (run / "lock").read_text() == str(os.getpid())
    assert not (run / "lock").exists()


def test_what_a_killed_write_left_is_swept(run):
    (run / "checkpoints/.000000003.safetensors.4711").write_text("half")
    (run / ".keep").write_text("a file of the user")
    with RunFolder.open(run).locked():
        assert not list((run / "checkpoints").glob(".*"))
        assert (run / ".keep").exists()


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_playing_keeps_what_was_written(toy, capsys, monkeypatch):
    words = ["--from", "toy.toml", "--out", "run"]
    fsync, n_writes = os.fsync, iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(
            _atomic.os,
            "fsync",
            lambda file: full() if next(n_writes) > 7 else fsync(file),
        )
        error = error_of(capsys, "play", *words)
    assert re.search(
        "RunError: 'run/.*' could not be written: No space left on device", error
    )
    assert "free some space or choose another folder, then use `--resume`" in error
    assert main(["play", *words, "--resume"]) == 0


def test_a_full_disk_leaves_no_half_made_folder(toy, capsys, monkeypatch):
    monkeypatch.setattr(_atomic.os, "fsync", lambda file: full())
    error = error_of(capsys, "play", "--from", "toy.toml", "--out", "runs/a")
    assert "The folder 'runs' cannot be written: No space left on device" in error
    assert "Free some space, or choose another place with `--out`" in error
    assert not list(Path("runs").iterdir())


def test_a_full_disk_while_tracing_again_keeps_the_first_trace(run, capsys, monkeypatch):
    def kept():
        return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}

    before = kept()
    with monkeypatch.context() as patch:
        patch.setattr(_atomic.os, "fsync", lambda file: full())
        error = error_of(capsys, "trace", "run", "--last", "6")
        assert "could not be written: No space left on device" in error
        assert kept() == before
        error = error_of(capsys, "report", "run")
    assert re.search(r"'run/figures/.*' could not be written: No space left", error)
    assert kept() == before


def test_a_folder_that_cannot_be_locked_is_said(run, capsys, monkeypatch):
    before = sorted(run.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(_lock.os, "open", lambda *arguments: full())
        error = error_of(capsys, "verify", "run")
    assert "The folder 'run' cannot be written: No space left on device" in error
    assert "What is in it is intact; free some space" in error
    with monkeypatch.context() as patch:  # room for the file, none for its content
        patch.setattr(_lock.os, "pwrite", lambda *arguments: full())
        with RunFolder.open(run).locked():
            pass
    assert sorted(run.rglob("*")) == before


def test_a_full_disk_while_logging_or_retraining_is_said(run, capsys, monkeypatch):
    (run / "checkpoints/000000012.safetensors").unlink()
    opened = Path.open

    def open_full(path, mode="r", *arguments, **options):
        if mode == "ab+" and path.name in ("log.jsonl", "bank.jsonl"):
            full()
        return opened(path, mode, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        error = error_of(capsys, "play", "--resume", "--out", "run")
        assert "'run/log.jsonl' could not be written: No space left on device" in error
    assert main(["play", "--resume", "--out", "run"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        error = error_of(capsys, "verify", "run", "--instances", "5")
    assert "'run/bank.jsonl' could not be written" in error


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(toy, capsys):
    words = ["--out", "run", "--set", "game.optimizer=sgd", "game.loss=least_squares"]
    words += ["game.lr_d=1e200", "game.lr_g=1e200"]
    error = error_of(capsys, "play", "--from", "toy.toml", *words)
    assert re.search(r"player '[DG]' .* at move|after move", error)
    assert "The last good checkpoint, of move" in error
    assert list(Path("run/checkpoints").iterdir())


def test_fewer_instances_than_a_batch_are_refused(toy, capsys):
    error = error_of(capsys, "play", "--from", "toy.toml", "--batch-size", "49")
    assert "has 48 instances, fewer than one batch of 49" in error


def test_a_broken_image_is_named_and_skipped_only_on_request(toy, capsys):
    Path("images").mkdir()
    for i in range(20):
        shade = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(shade).save(f"images/{i:02d}.png")
    Path("images/bad.png").write_bytes(b"no image")
    words = ["play", "--data", "image_folder", "--n-steps", "2", "--batch-size", "4"]
    words += ["--out", "run", "--set", "data.path=images", "data.size=8", "metric.n=80"]
    error = error_of(capsys, *words)
    assert re.search("'bad.png' in '/.*/images' cannot be read", error)
    assert "give `skip_broken=True` (`--skip-broken`)" in error
    assert not Path("run").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main([*words, "--skip-broken"]) == 0
        warnings.simplefilter("ignore")
        ids = RunFolder.open(Path("run")).data.ids
    error = capsys.readouterr().err
    assert error.startswith("Warning: 1 of 21 files in '/")
    assert "bad.png" not in ids
    assert set(ids) < {f"{i:02d}.png" for i in range(20)}


def test_a_trace_that_is_not_there_says_which_verb_makes_it(run, capsys):
    (run / "trace.json").unlink()
    for verb in ("verify", "retrain"):
        assert "has not been traced. Use `counterplay trace run` first" in error_of(
            capsys, verb, "run"
        )


def test_scores_on_metrics_that_the_recipe_measures_otherwise_are_refused(run, capsys):
    change(run / "run.toml", "n = 32", "n = 33")
    error = error_of(capsys, "verify", "run")
    assert "The scores are on 'valid_frechet_identity_32', but run.toml now gives" in error


def test_scores_on_a_metric_that_the_recipe_does_not_trace_are_verified(run):
    words = ["run", "--metric", "average_log_likelihood", "--instances", "4"]
    assert main(["trace", *words]) == 0
    assert main(["verify", "run", "--instances", "4"]) == 0


def test_a_trace_ends_at_one_place(run, capsys):
    error = error_of(capsys, "trace", "run", "--last", "3", "--epochs", "1")
    assert "Give `last` or `epochs`, not both: 3, 1" in error
    error = error_of(capsys, "trace", "run", "--epochs", "-1")
    assert "epochs to go back must be at least 1, got -1. Leave it out" in error


def test_a_run_finds_its_files_from_any_folder(toy, monkeypatch, capsys):
    """Paths in a recipe start at its folder, those of options where one stands."""
    random = np.random.default_rng(0)
    arrays = {part: random.normal(size=(32, 2)) for part in ("train", "valid", "test")}
    Path("recipes").mkdir()
    np.savez("recipes/data.npz", **{f"x_{part}": x for part, x in arrays.items()})
    text = toy.read_text()
    i, j = text.index('name = "ring"'), text.index("[nets]")
    chosen = 'name = "npz"\npath = "data.npz"\n'
    Path("recipes/toy.toml").write_text(text[:i] + chosen + text[j:])
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    words = ["play", "--from", "../recipes/toy.toml", "--out", "run"]
    words += ["--set", "features.name=identity", "features.cache=kept"]
    assert main(words) == 0
    assert list(Path("kept").iterdir())
    assert main([*words[:5], "--resume", *words[5:]]) == 0
    assert main(["play", "--from", "run", "--out", "again"]) == 0
    monkeypatch.chdir("..")
    kept = sorted(Path("elsewhere/kept").iterdir())
    assert main(["score", "elsewhere/run", "elsewhere/again"]) == 0
    assert sorted(Path("elsewhere/kept").iterdir())[: len(kept)] == kept
    assert not Path("kept").exists()
    first, second = (RunFolder.open(Path(f"elsewhere/{n}")) for n in ("run", "again"))
    assert first.recipe.identity == second.recipe.identity


def test_a_run_whose_data_has_moved_is_read_when_it_is_told_so(toy):
    random = np.random.default_rng(0)
    np.savez("a.npz", **{f"x_{p}": random.normal(size=(32, 2)) for p in ("train", "valid")})
    chosen = ["--data", "npz", "--set", "data.path=a.npz"]
    assert main(["play", "--from", "toy.toml", "--out", "run", *chosen]) == 0
    Path("a.npz").rename("b.npz")
    change(Path("run/run.toml"), "a.npz", "b.npz")
    assert main(["trace", "run", "--instances", "2"]) == 0
