import json

import pytest

from counterplay.errors import RunError
from counterplay.report import records


def test_a_complete_folder_is_read_whole(folder, influence):
    run = records.read(folder)
    assert run.recipe["data"]["name"] == "digits"
    assert len(run.log) == 300
    assert [one.metric for one in run.influences] == [influence.metric]
    assert run.scores[0]["id"] == influence.ids[0]
    assert run.verified_on(influence.metric) == run.verified[0]
    assert run.verified_on("another") is None


def test_an_empty_folder_is_a_run_without_results(tmp_path):
    run = records.read(tmp_path)
    assert not any([run.recipe, run.log, run.influences, run.scores, run.verified])
    assert not any([run.cleansing, run.detection, run.rounds])


def test_influences_are_in_the_order_of_their_numbers(folder, influence):
    for i in range(1, 11):
        influence.save(folder / f"influence_{i}.npz")
    assert len(records.read(folder).influences) == 11
    (folder / "trace.json").write_text(json.dumps({"metrics": [influence.metric]}))
    assert len(records.read(folder).influences) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunError, match=r"no run folder .*nowhere.*counterplay play"):
        records.read(tmp_path / "nowhere")


def test_a_torn_last_line_of_the_log_is_dropped(folder):
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"step": 30')
    assert len(records.read(folder).log) == 300


def test_a_damaged_line_in_the_middle_of_the_log_is_named_and_left_out(folder):
    (folder / "log.jsonl").write_text('{"step": 1}\n{"step"\n{"step": 3}\n')
    with pytest.warns(UserWarning, match=r"log\.jsonl.* is damaged in lines \[2\]"):
        assert records.read(folder).log == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("verify.json", "verify"),
        ("cleansing.json", "cleanse"),
        ("influence_0.npz", "trace"),
    ],
)
def test_a_damaged_file_names_the_command_that_makes_it(folder, name, verb):
    (folder / name).write_text("{")
    with pytest.raises(
        RunError, match=f"{name}.* is damaged.*counterplay {verb} {folder}`"
    ):
        records.read(folder)


def test_scores_of_other_instances_are_called_damaged(folder):
    scores = folder / "scores.csv"
    content = scores.read_bytes()
    for damaged in (content.replace(b"digit-5", b"digit-6"), content[:-9] + b"\xff" * 9):
        scores.write_bytes(damaged)
        with pytest.raises(RunError, match=r"scores.csv' is damaged: .*counterplay trace"):
            records.read(folder)
