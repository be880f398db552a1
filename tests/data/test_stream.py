"""Tables that are read in pieces."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from counterplay import data
from counterplay.data import _stream
from counterplay.errors import DataError


def table(n=50):
    generator = np.random.default_rng(0)
    return pa.table({
        "a": generator.normal(size=n),
        "b": generator.integers(0, 9, n),
        "c": generator.normal(size=n) > 0,
    })  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_file_becomes_an_array_in_a_file(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(_stream, "_ROWS", 7)
    monkeypatch.setattr(_stream, "_BYTES", 400)
    rows, file = table().drop_columns(["c"]), tmp_path / f"rows.{kind}"
    if kind == "parquet":
        parquet.write_table(rows, file)
    else:
        delimiter = "\t" if kind == "tsv" else ","
        csv.write_csv(rows, file, csv.WriteOptions(delimiter=delimiter))
    found = data.rows_of(file, tmp_path / "arrays")
    assert isinstance(found.values, np.memmap)
    assert found.names == ("a", "b")
    expected = np.stack([rows["a"], rows["b"]], 1).astype(np.float32)
    np.testing.assert_array_equal(found.values, expected)


def test_columns_can_be_left_out_and_truth_values_are_numbers(tmp_path):
    parquet.write_table(table(), tmp_path / "rows.parquet")
    found = data.rows_of(tmp_path / "rows.parquet", tmp_path, drop=["a"])
    assert found.names == ("b", "c")
    np.testing.assert_array_equal(found.values[:, 1], table()["c"].to_numpy())


def test_whole_numbers_may_be_followed_by_broken_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(_stream, "_BYTES", 20)
    (tmp_path / "rows.csv").write_text("a\n" + "1\n" * 50 + "2.5\n")
    assert data.rows_of(tmp_path / "rows.csv", tmp_path).values[-1, 0] == 2.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,\n", r"Column 'b' has no finite value in row 1 \(the first is 0\)"),
        ("a,b\n1,2\n3,inf\n", r"Column 'b' has no finite value in row 1"),
        ("a,b\n1,2\n3,1e300\n", r"Column 'b' has no finite value in row 1"),
        ("a,b\n1,x\n3,y\n", r"Column 'b' of .* holds string, not numbers"),
        ("a,a\n1,2\n", r"each with a name of its own, got \['a', 'a'\]"),
        ("a,b\n1\n", r"cannot be read as a table of numbers"),
        ("a,b\n", r"has no rows"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path, text, message):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        data.rows_of(tmp_path / "rows.csv", tmp_path)


def test_other_files_and_columns_are_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"has no column 'b'; it has \['a'\]"):
        data.rows_of(tmp_path / "rows.csv", tmp_path, drop=["b"])
    (tmp_path / "rows.txt").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"end in \.csv, \.tsv, \.parquet or \.pq"):
        data.rows_of(tmp_path / "rows.txt", tmp_path)
