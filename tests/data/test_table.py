from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from counterplay.data.table import table
from counterplay.errors import DataError


def _rows(n=50):
    rng = np.random.default_rng(0)
    return {
        "height": rng.normal(170, 10, n),
        "n_children": rng.integers(0, 4, n),
        "colour": [["red", "green", "blue"][i % 3] for i in range(n)],
        "label": [["no", "yes"][i % 2] for i in range(n)],
        "name": [f"person {i}" for i in range(n)],
    }


def _csv(path, rows, delimiter=","):
    lines = [
        delimiter.join(rows),
        *(delimiter.join(map(str, r)) for r in zip(*rows.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _write(tmp_path, kind, rows):
    path = tmp_path / f"people{kind}"
    if kind == ".parquet":
        parquet.write_table(pa.table(rows), path)
    else:
        _csv(path, rows, "\t" if kind == ".tsv" else ",")
    return path


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".parquet"])
def test_values_come_back(tmp_path, kind):
    rows = _rows()
    splits = table(_write(tmp_path, kind, rows), target="label", id_column="name", seed=1)
    assert splits.name == "people"
    names = ("height", "n_children", "colour=blue", "colour=green", "colour=red")
    assert splits.scaling.names == names
    for part in (splits.train, splits.valid, splits.test):
        index = [rows["name"].index(name) for name in part.ids]
        values = splits.scaling.undo(part["x"])
        np.testing.assert_allclose(values[:, 0], np.array(rows["height"])[index], rtol=1e-6)
        np.testing.assert_allclose(
            values[:, 1], np.array(rows["n_children"])[index], atol=1e-6
        )
        for column, colour in ((2, "blue"), (3, "green"), (4, "red")):
            expected = [float(rows["colour"][i] == colour) for i in index]
            assert part["x"][:, column].tolist() == expected
        assert [part.class_names[y] for y in part["y"]] == [rows["label"][i] for i in index]


def test_numbers_are_standardised_by_the_training_part(tmp_path):
    splits = table(_csv(tmp_path / "a.csv", _rows()), drop=["name", "label", "colour"])
    x = splits.train["x"]
    assert x.dtype == torch.float32
    torch.testing.assert_close(x.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(2))
    assert splits.valid["x"].mean(0).abs().max() > 1e-3


def test_a_constant_column_becomes_zero(tmp_path):
    splits = table(_csv(tmp_path / "a.csv", {"a": [5] * 10, "b": range(10)}))
    assert splits.test["x"][:, 0].tolist() == [0, 0]
    assert splits.scaling.undo(splits.test["x"])[:, 0].tolist() == [5, 5]


def test_rows_are_named_by_number(tmp_path):
    splits = table(
        _csv(tmp_path / "a.csv", {"a": range(10)}), n_train=4, n_valid=3, n_test=3
    )
    ids = [i for part in (splits.train, splits.valid, splits.test) for i in part.ids]
    assert sorted(ids) == [str(i) for i in range(10)]
    assert "y" not in splits.train.tensors


def test_targets_are_labels_or_numbers(tmp_path):
    rows = {
        "a": range(10),
        "i": [3, 7] * 5,
        "f": np.linspace(0, 1, 10),
        "b": ["true", "false"] * 5,
    }
    path = _csv(tmp_path / "a.csv", rows)
    labels = table(path, target="i")
    assert labels.train.class_names == ("3", "7")
    assert labels.train["y"].unique().tolist() == [0, 1]
    values = table(path, target="f").train
    assert values["y"].dtype == torch.float32
    assert values.class_names == ()
    assert table(path, target="b").train["y"].unique().tolist() == [0, 1]
    assert table(path, drop=["i", "f"]).scaling.names == ("a", "b")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            [1.0, None, 2.0, None],
            r"'a' has no finite value in row 1 \(the first is 0\) and in 1 more",
        ),
        ([1.0, 2.0, float("nan"), 4.0], "'a' has no finite value in row 2"),
        (
            [1.0, 2.0, 3.0, float("inf")],
            "'a' has no finite value in row 3 .*`drop=\\['a'\\]`",
        ),
        ([1, 2, None, 4], "'a' has no finite value in row 2"),
        (["x", None, "y", "z"], "'a' has no finite value in row 1"),
        ([date(2020, 1, 1)] * 4, "'a' holds date32.*, neither numbers nor text"),
    ],
)
def test_unusable_values_are_named(tmp_path, column, message):
    parquet.write_table(pa.table({"a": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        table(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("label", "names"),
    [("cat", ("cat", "dog")), ("true", ("0", "1")), ("7", ("7", "9"))],
)
def test_a_row_whose_label_is_missing_has_none(tmp_path, label, names):
    other = {"cat": "dog", "true": "false", "7": "9"}[label]
    lines = [f"{i},{['', label, other][i % 3]}" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["a,kind", *lines]))
    splits = table(tmp_path / "a.csv", target="kind")
    assert splits.train.class_names == names
    first = int(label == "true")  # false is 0
    for part in (splits.train, splits.valid, splits.test):
        expected = [(-1, first, 1 - first)[int(i) % 3] for i in part.ids]
        assert part["y"].tolist() == expected


def test_a_missing_number_to_predict_is_no_missing_label(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,0.5\n2,\n3,1.5\n")
    with pytest.raises(DataError, match=r"'b' has no finite value in row 1.*Only labels"):
        table(tmp_path / "a.csv", target="b")


def test_empty_fields_of_a_csv_are_missing_values(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,\n3,y\n")
    with pytest.raises(DataError, match="'b' has no finite value in row 1"):
        table(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,b\n1,2\n", {"target": "c"}, r"has no column 'c'; there are \['a', 'b'\]"),
        ("a,a\n1,2\n", {}, "has several columns 'a'"),
        (",a\n0,2\n", {}, "Column 0 of .* has no name; it often is the row number"),
        ("a\n1\n", {"drop": ["a"]}, "has no column left to learn from"),
        ("a,b\n1,2\n1\n", {}, "cannot be read as a table"),
        ("", {}, "cannot be read as a table"),
        ("a\n1\n2\n", {}, "Every part needs at least one instance"),
        (
            "a\n" + "\n".join(f"v{i}" for i in range(101)),
            {},
            "'a' holds 101 different texts",
        ),
    ],
)
def test_unusable_tables_are_refused(tmp_path, content, options, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        table(tmp_path / "a.csv", **options)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(DataError, match=r"Tables end in .csv, .tsv, .parquet or .pq"):
        table(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="There is no file at"):
        table(tmp_path / "b.csv")
