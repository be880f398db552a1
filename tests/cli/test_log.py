"""The log of a run."""

import json

from counterplay.cli._log import Log


def test_rows_are_appended_and_read_again(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log.append(0, {"score": 0.1})
    log.append(5, {"loss_D": 1 / 3})
    rows = Log(tmp_path / "log.jsonl").rows
    assert [(row["step"], row.get("loss_D")) for row in rows] == [(0, None), (5, 1 / 3)]
    assert 5 in log
    assert 3 not in log


def test_the_table_has_all_columns_in_order(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log.append(0, {"score": 0.1})
    log.append(5, {"loss_D": 1.0})
    table = log.table()
    assert [list(row) for row in table] == [["step", "loss_D", "score", "cpu_s"]] * 2
    assert table[1]["score"] is None


def test_a_cut_drops_later_rows_and_goes_on_counting_time(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(
        "".join(json.dumps({"step": i, "cpu_s": 100.0 + i}) + "\n" for i in range(5))
    )
    log = Log(path)
    log.cut(2)
    log.append(3, {})
    rows = Log(path).rows
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert 102.0 <= rows[3]["cpu_s"] < 103.0


def test_a_torn_last_line_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 0, "cpu_s": 0.0}\n{"step": 1, "cp')
    assert [row["step"] for row in Log(path).rows] == [0]
