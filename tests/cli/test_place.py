"""Making folders: an unfinished attempt is in nobody's way, a run always is."""

import os
import shutil
import time
from pathlib import Path

import pytest

from counterplay.__main__ import main
from counterplay._lock import locked
from counterplay.cli._place import is_temporary, place
from counterplay.errors import RunError


FILES = {"run.toml": "[run]\n"}


def test_folders_are_numbered_after_the_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        assert place(FILES, None, "gan-ring") == Path(f"runs/{number:04d}-gan-ring")
    shutil.rmtree("runs/0001-gan-ring")
    assert place(FILES, None, "gan-ring") == Path("runs/0003-gan-ring")


def test_a_play_that_failed_before_its_first_move_can_be_repeated(toy, capsys):
    words = ["play", "--from", "toy.toml", "--out", "run"]
    chosen = ["--set", "features.name=torchscript", "features.path=nowhere.pt"]
    assert main([*words, *chosen]) == 1
    assert "There is no file" in capsys.readouterr().err
    assert Path("run/run.toml").exists()
    assert main(words) == 0
    assert main(words) == 1
    assert "There is something in 'run' already. Continue it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["checkpoints/000000001.safetensors", "notes", ".keep", "bank.jsonl"]
)
def test_a_folder_with_anything_of_value_is_left_alone(tmp_path, name):
    place(FILES, tmp_path / "run", "")
    (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "run" / name).write_text("")
    with pytest.raises(RunError, match=r"There is something in .*delete it, or choose"):
        place(FILES, tmp_path / "run", "")
    assert (tmp_path / "run" / name).exists()


def test_a_folder_in_which_a_process_is_at_its_first_move_is_left_alone(tmp_path):
    place(FILES, tmp_path / "run", "")
    with (
        locked(tmp_path / "run" / "lock"),
        pytest.raises(RunError, match=f"Process {os.getpid()} is writing"),
    ):
        place(FILES, tmp_path / "run", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_drafts_of_killed_processes_are_deleted_when_they_are_old(tmp_path):
    for name, age in (("old", 7_200), ("young", 60)):
        (tmp_path / f".new-{name}").mkdir()
        os.utime(tmp_path / f".new-{name}", (time.time() - age,) * 2)
    place(FILES, tmp_path / "run", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new-young", "run"]


def test_temporaries_are_told_from_files_of_the_user(tmp_path):
    for name in (".run.toml.4711", ".keep", ".profile.d", "run.4711"):
        (tmp_path / name).write_text("")
    assert [path.name for path in tmp_path.iterdir() if is_temporary(path)] == [
        ".run.toml.4711"
    ]
