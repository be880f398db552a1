"""Scoring new files from the command line."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from test_fit import FIT, HOSTILE, read, rows, SERIES, series, write

from counterplay import estimators
from counterplay.__main__ import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("rows.csv", rows())
    write("series.csv", series())
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model of the table and one of the series; not to be changed."""
    path = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        write("rows.csv", rows())
        write("series.csv", series())
        assert main([*FIT, "--label", "bad", "--no-trace", "--out", "rows"]) == 0
        words = [*SERIES, "--data", "series.csv", "--label", "bad", "--no-trace"]
        assert main([*words, "--out", "series"]) == 0
    return path


def predict(model, *words):
    return main(["predict", str(model), *words])


def test_the_training_rows_get_their_training_scores(fitted, capsys):
    assert predict(fitted / "rows", "--data", "rows.csv") == 0
    found, own = read("predictions.csv"), read(fitted / "rows" / "scores.csv")
    assert list(found[0]) == ["id", "score", "is_outlier"]
    for name in found[0]:
        assert [row[name] for row in found] == [row[name] for row in own]
    assert "6 of 60 rows are above the threshold" in capsys.readouterr().out


def test_columns_are_found_by_name(fitted):
    predict(fitted / "rows", "--data", "rows.csv")
    table = rows()
    names = ["c", HOSTILE, "who", "a"]  # another order; neither label nor what was dropped
    write("new.csv", {name: table[name] for name in names})
    assert predict(fitted / "rows", "--data", "new.csv", "--out", "new/p.parquet") == 1
    assert predict(fitted / "rows", "--data", "new.csv", "--out", "p.parquet") == 0
    found = parquet.read_table("p.parquet").to_pydict()
    assert found["score"] == [float(row["score"]) for row in read("predictions.csv")]
    assert found["id"][0] == "row 0"


def test_series_are_scored_with_the_channels_that_explain_them(fitted):
    write("new.csv", series(40, seed=3, begin=5_000))
    words = ["--data", "new.csv", "series.csv", "--n-channels", "1"]
    assert predict(fitted / "series", *words) == 0
    found, own = read("predictions.csv"), read(fitted / "series" / "scores.csv")
    assert list(found[0]) == [
        "series", "time", "score", "is_outlier", "channel_1", "residual_1"
    ]  # fmt: skip
    assert [row["score"] for row in found[40:]] == pytest.approx(
        [row["score"] for row in own]
    )
    assert [row["time"] for row in found[40:]] == [row["time"] for row in own]
    table = series(40, seed=3)
    model = estimators.load(fitted / "series")
    X = np.column_stack([table["a"], table["b"]])
    scores = model.outlier_scores([X[:20], X[20:]])  # there is a gap
    assert [float(row["score"]) for row in found[:40]] == pytest.approx(scores.tolist())


def test_other_columns_are_named(fitted, capsys):
    table = rows()
    table["b"] = table.pop("a")
    write("new.csv", table)
    assert predict(fitted / "rows", "--data", "new.csv") == 1
    error = capsys.readouterr().err
    assert "does not have the columns that the detector was fitted to" in error
    assert "missing are ['a'], unknown are ['b']" in error
    write("new.csv", rows() | {"more": [1] * 60})
    assert predict(fitted / "rows", "--data", "new.csv") == 1
    assert "missing are [], unknown are ['more']" in capsys.readouterr().err
    assert predict(fitted / "rows", "--data", "new.csv", "--drop", "more") == 0


def test_the_data_is_not_replaced(fitted, capsys):
    assert predict(fitted / "rows", "--data", "rows.csv", "--out", "./rows.csv") == 1
    assert "`--out` is 'rows.csv', which holds the data" in capsys.readouterr().err


def test_a_table_comes_in_one_file(fitted, capsys):
    assert predict(fitted / "rows", "--data", "rows.csv", "series.csv") == 1
    assert "A detector of rows reads one table" in capsys.readouterr().err


def test_a_missing_model_and_missing_data_are_named(fitted, capsys):
    assert predict("nowhere", "--data", "rows.csv") == 1
    assert "RunError: There is no model in 'nowhere'" in capsys.readouterr().err
    assert predict(fitted / "rows", "--data", "none.csv") == 1
    assert "DataError: There is no file at 'none.csv'" in capsys.readouterr().err


def test_a_damaged_model_is_named(fitted, capsys):
    model = Path(shutil.copytree(fitted / "rows", "damaged"))
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9] + bytes(9)[:8])
    assert predict(model, "--data", "rows.csv") == 1
    assert "model.safetensors' is damaged" in capsys.readouterr().err


def test_a_model_of_python_has_no_columns(capsys):
    detector = estimators.WindowPCA(window=4, n_components=2)
    estimators.save(detector.fit(np.random.default_rng(0).random((40, 2))), "own")
    assert predict("own", "--data", "rows.csv") == 1
    assert "was saved from Python and does not know the columns" in capsys.readouterr().err
    assert "columns" not in tomllib.loads(Path("own/model.toml").read_text())["data"]
