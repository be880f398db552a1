import re
import shutil

import pytest
from example_run import keep, TEST
from test_page import Structure

from counterplay.errors import RunError
from counterplay.report import compare


@pytest.fixture
def other(folder, tmp_path):
    """A run with another seed and more moves that nobody has traced."""
    path = shutil.copytree(folder, tmp_path / "other" / "0002-gan-digits")
    keep(path, "run.toml", "log.jsonl", "fakes_000000.png", "fakes_000300.png")
    recipe = path / "run.toml"
    recipe.write_text(recipe.read_text().replace("seed = 3", "seed = 4\nevery = 7"))
    return path


def test_two_runs_stand_side_by_side(folder, other, tmp_path):
    path = compare.build([folder, other], out=tmp_path / "compare.html")
    text = path.read_text("utf-8")
    seen = Structure(text)
    assert len(seen.all("img")) == 2
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in seen.all("svg"))
    for part in (
        "play.seed",
        "play.every",
        "not set",
        "0001-gan-digits",
        "0002-gan-digits",
    ):
        assert part in text, part
    assert "play.batch_size" not in text  # the same in both
    assert "gain in Fréchet distance" in text
    assert not re.search(r"https?:|//[a-z]+\.", text)


def test_runs_of_one_name_are_told_apart_by_their_folders(folder, tmp_path):
    (tmp_path / "again").mkdir()
    twin = shutil.copytree(folder, tmp_path / "again" / folder.name)
    content = compare.content([compare.records.read(one) for one in (folder, twin, folder)])
    assert content["names"] == [
        f"{tmp_path.name}/{folder.name}", f"again/{folder.name}",
        f"{tmp_path.name}/{folder.name} (2)",
    ]  # fmt: skip
    assert content["settings"] == []


def test_the_last_value_of_every_metric_is_in_the_table(folder, other):
    found = compare.content([compare.records.read(one) for one in (folder, other)])
    ((metric, higher),) = found["metrics"]["columns"].items()
    assert higher is False  # the traced run knows
    assert [row["values"][metric] for row in found["metrics"]["rows"]] == [14.0, 14.0]
    assert found["cleansed"][-1] == f"cleansing_{TEST}"


def test_empty_runs_can_be_compared(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    text = compare.build(
        [tmp_path / "a", tmp_path / "b"], out=tmp_path / "c.html"
    ).read_text()
    for part in (
        "There is no sample grid",
        "No run has measured",
        "No run has been cleansed",
    ):
        assert part in text
    assert "The recipes are the same" in text


def test_a_missing_run_is_named(folder, tmp_path):
    with pytest.raises(RunError, match=r"There is no run folder .*nowhere"):
        compare.build([folder, tmp_path / "nowhere"])
