import gzip

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from counterplay.data._measured import read
from counterplay.errors import DataError


@pytest.fixture
def written(tmp_path):
    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


TABLE = "who,a,b,bad\nx,1,2.5,0\ny,2,3.5,1\nz,3,4.5,0\n"


def test_a_table_becomes_numbers_with_ids_and_labels(written):
    found = read(written(TABLE), label="bad", id_column="who")
    assert found.names == ("a", "b")
    assert found.values.tolist() == [[1, 2.5], [2, 3.5], [3, 4.5]]
    assert found.ids == ("x", "y", "z")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 0]


def test_rows_are_named_by_their_number_and_columns_can_be_left_out(written):
    found = read(written(TABLE), drop=["who"], ignore=["bad", "nothing"])
    assert found.ids == ("0", "1", "2")
    assert found.names == ("a", "b")


def test_tabs_gzip_and_parquet_are_read_too(written, tmp_path):
    plain = read(written(TABLE), drop=["who"])
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(TABLE.encode()))
    table = pa.table({"a": [1, 2, 3], "b": [2.5, 3.5, 4.5], "bad": [False, True, False]})
    parquet.write_table(table, tmp_path / "table.parquet")
    for path in (
        written(TABLE.replace(",", "\t"), "table.tsv"),
        packed,
        tmp_path / "table.parquet",
    ):
        found = read(path, ignore=["who"])
        assert found.fingerprint == plain.fingerprint


def test_the_fingerprint_sees_values_ids_and_names_but_no_labels(written):
    def print_of(text):
        return read(written(text), label="bad", id_column="who").fingerprint

    own = print_of(TABLE)
    assert print_of(TABLE.replace("0\n", "1\n")) == own
    for change in (("2.5", "2.6"), ("x", "w"), (",a,", ",c,")):
        assert print_of(TABLE.replace(*change)) != own


def test_columns_are_brought_into_the_order_of_the_model(written):
    found = read(written(TABLE), names=("b", "a"), ignore=["who", "bad"])
    assert found.values[0].tolist() == [2.5, 1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", {"label": "bad"}, r"has no column 'bad'; there are \['a', 'b'\]"),
        ("a,a\n1,2\n", {}, "has several columns 'a'; rename"),
        ("a,b\n1,\n2,3\n", {}, r"Column 'b' has no finite value in row 0 \(the first is 0\)"),
        ("a,b\n1,\n2,\n", {}, "in row 0 .* and in 1 more rows. Fill the values in"),
        ("a,b\n1,2\n2,nan\n", {}, "Column 'b' has no finite value in row 1"),
        ("a,city\n1,Oslo\n", {}, "Column 'city' holds string, such as 'Oslo', where"),
        ("a,bad\n1,0\n2,3\n", {"label": "bad"}, "The label 'bad' is 3 in row 1"),
        ("a,who\n1,x\n2,x\n", {"id_column": "who"}, "The id 'x' of column 'who' names several"),
        ("a\n1\n", {"drop": ["a"]}, r"has 1 rows and the measured columns \[\]"),
        ("a,b\n", {}, r"has 0 rows and the measured columns \['a', 'b'\]"),
        ("a,b\n1,2\n", {"names": ("a", "c")}, r"missing are \['c'\], unknown are \['b'\]"),
        ("t,a\n2,1\n1,1\n", {"time": "t"}, "The time '1' in row 1 .* comes after '2'"),
        ("t,a\n1,1\n1,1\n", {"time": "t"}, "comes after '1'; windows need ascending"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(written, text, options, message):
    with pytest.raises(DataError, match=message):
        read(written(text), **options)


def test_a_missing_file_and_an_unknown_format_are_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no file at '.*none.csv'"):
        read(tmp_path / "none.csv")
    (tmp_path / "table.xlsx").write_text("")
    with pytest.raises(DataError, match="is not known to be a table"):
        read(tmp_path / "table.xlsx")


def test_series_are_cut_at_gaps(written):
    text = "".join(
        f"2024-01-01 00:00:{second:02d},{second}\n" for second in (0, 1, 2, 3, 30, 31)
    )
    found = read(written(f"when,a\n{text}"), time="when")
    assert found.ids[4] == "2024-01-01 00:00:30"
    step = float(np.median(found.steps))
    assert step == 1e9  # nanoseconds
    assert [part[:, 0].tolist() for part in found.stretches(step)] == [
        [0, 1, 2, 3],
        [30, 31],
    ]
    assert len(found.stretches(None)) == 1


def test_numbers_are_times_as_well_and_rows_may_have_none(written):
    found = read(written("t,a\n0,5\n0.5,6\n1,7\n9,8\n"), time="t")
    assert [len(part) for part in found.stretches(0.5)] == [3, 1]
    untimed = read(written("t,a\n0,5\n"))
    assert not len(untimed.steps)
    assert len(untimed.stretches(0.5)) == 1
