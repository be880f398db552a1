"""Exports: the same review in every format."""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from reviewed import HOSTILE, N

from counterplay.game import Columns
from counterplay.review.exports import export, EXPORTS, offered
from counterplay.review.instances import Instances


METRIC = "valid_frechet_identity_64"


@pytest.fixture
def marked(marks):
    marks.mark([0, 3], "remove")
    marks.mark([1], "keep")
    marks.note(1, 'all of "it",\nreally')
    return marks


def test_csv_and_parquet_hold_the_same_rows(instances, marked):
    text = export("review.csv", instances, marked).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    frame = pd.read_parquet(export("review.parquet", instances, marked))
    assert len(rows) == len(frame) == N
    assert rows[0]["id"] == frame["id"][0] == HOSTILE
    assert [row["mark"] for row in rows[:4]] == ["remove", "keep", "", "remove"]
    assert rows[1]["note"] == frame["note"][1] == 'all of "it",\nreally'
    assert frame["planted"].tolist() == [True, True, *[False] * (N - 2)]
    for i, row in enumerate(rows[:-1]):
        assert float(row[f"removal_{METRIC}"]) == frame[f"removal_{METRIC}"][i]
        assert int(row[f"rank_{METRIC}"]) == i + 1
        assert float(row[f"harm_{METRIC}"]) == -float(row[f"removal_{METRIC}"])
    assert rows[-1][f"rank_{METRIC}"] == ""  # was not traced
    assert frame[f"removal_{METRIC}"].isna().tolist() == [False] * (N - 1) + [True]


def test_the_list_names_those_to_remove_as_retrain_reads_them(instances, marked):
    path = export("removed.txt", instances, marked)
    assert path == instances.run.folder / "review" / "removed.txt"
    assert path.read_text().split("\n") == [HOSTILE, "many/digit-3.png", ""]


def test_fiftyone_finds_pictures_tags_and_declared_fields(instances, marked):
    found = json.loads(export("fiftyone.json", instances, marked).read_bytes())
    # What `fiftyone.Dataset.from_dict` reads.
    assert found["name"] == "counterplay-0001-gan-digits"
    assert found["media_type"] == "image"
    assert len(found["samples"]) == N
    builtin = {"filepath", "tags", "metadata"}
    types = {
        "fiftyone.core.fields.BooleanField": bool,
        "fiftyone.core.fields.FloatField": float,
        "fiftyone.core.fields.IntField": int,
        "fiftyone.core.fields.StringField": str,
        "fiftyone.core.fields.EmbeddedDocumentField(fiftyone.core.labels.Classification)": dict,
    }
    for sample in found["samples"]:
        assert sample.keys() - builtin == found["sample_fields"].keys()
        with Image.open(sample["filepath"]) as picture:
            assert picture.size == (32, 32)
        for name, kind in found["sample_fields"].items():
            assert name.isidentifier()
            assert sample[name] is None or type(sample[name]) is types[kind]
    first, second = found["samples"][:2]
    assert first["tags"] == ["remove", "planted"]
    assert second["tags"] == ["keep", "planted"]
    assert first["instance"] == HOSTILE
    assert first["ground_truth"] == {"_cls": "Classification", "tags": [], "label": "a"}
    assert Path(first["filepath"]).is_absolute()


def test_fiftyone_is_pointed_at_the_files_themselves(tmp_path, reviewed, data, marks):
    (tmp_path / "many").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "many" / "digit-1.png")
    shown = Instances(reviewed, data, files=tmp_path)
    found = json.loads(export("fiftyone.json", shown, marks).read_bytes())
    assert found["samples"][1]["filepath"] == str(tmp_path / "many" / "digit-1.png")


def test_fiftyone_is_offered_for_images_only(reviewed, instances):
    assert offered(instances) == list(EXPORTS)
    rows = Columns({"x": torch.zeros(N, 2)}, instances.data.ids)
    assert "fiftyone.json" not in offered(Instances(reviewed, rows))


def test_data_without_labels_has_no_column_of_them(reviewed, data, marks):
    bare = Instances(reviewed, Columns({"x": data["x"]}, data.ids, "image"))
    assert "label" not in export("review.csv", bare, marks).read_text().splitlines()[0]
    found = json.loads(export("fiftyone.json", bare, marks).read_bytes())
    assert "ground_truth" not in found["sample_fields"]
