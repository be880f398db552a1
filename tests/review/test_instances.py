"""Instances: their columns, their pictures, and whom they resemble."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from reviewed import HOSTILE, N

from counterplay._influence import Influence
from counterplay.data.splits import Scaling
from counterplay.game import Columns
from counterplay.report.records import Run
from counterplay.review.instances import Instances


def pixels_of(picture):
    return np.asarray(Image.open(io.BytesIO(picture[1])).convert("L"))


def run_of(data, folder):
    weights = torch.ones(len(data), dtype=torch.float64)
    influence = Influence(
        "valid_frechet_identity_8",
        False,
        1.0,
        weights,
        weights,
        data.ids,
        "Unroll(last=None)",
    )
    return Run(folder, {}, [], (influence,), [], [], {}, {}, [])


def test_the_table_holds_what_filters_and_sorting_need(instances, data):
    table = instances.table()
    assert table["ids"] == data.ids
    assert table["labels"][:4] == ("a", "b", "c", "a")
    assert table["planted"] == [True, True, *[False] * (N - 2)]
    assert table["copies"] == [0, 0, 0, 0, 0, 1, 1, *[0] * (N - 7)]
    assert [metric["short"] for metric in table["metrics"]] == [
        "Fréchet distance",
        "inception score",
    ]


def test_ranks_begin_with_the_most_harmful_and_leave_out_who_was_not_traced(instances):
    # Without instance 0 both metrics fall: that is a gain for a distance, a loss for a score.
    lower, higher = instances.table()["rank"]
    assert lower == [*range(1, N), None]
    assert higher == [*range(N - 1, 0, -1), None]
    assert instances.table()["removal"][0][0] == -1.0
    assert instances.table()["removal"][0][-1] is None


def test_without_labels_there_are_no_classes(reviewed, data):
    without = Instances(reviewed, replace(data, tensors={"x": data["x"]}))
    assert without.table()["labels"] is None
    assert without.classes == []


def test_numbers_that_differ_everywhere_are_no_classes(reviewed, data):
    many = Columns(
        {"x": torch.zeros(2_000, 2), "y": torch.arange(2_000) / 7},
        tuple(map(str, range(2_000))),
    )
    assert Instances(reviewed, many).classes == []


def test_nothing_is_planted_in_most_runs(reviewed, data):
    scores = [{"id": row["id"]} for row in reviewed.scores]
    assert Instances(replace(reviewed, scores=scores), data).planted is None


def test_images_are_shown_pixel_by_pixel(instances, data):
    wanted = ((data["x"][3, 0] + 1) * 127.5).round().clamp(0, 255).numpy()
    media, _ = small = instances.thumbnail(3)
    assert media == "image/webp"
    assert (pixels_of(small) == wanted).all()
    assert (pixels_of(instances.picture(3))[::4, ::4] == wanted).all()


@pytest.mark.parametrize(
    ("kind", "shape"), [("point", (2,)), ("row", (5,)), ("window", (9, 2))]
)
def test_everything_else_is_drawn(tmp_path, kind, shape):
    x = torch.randn(30, *shape, generator=torch.Generator().manual_seed(1))
    shown = Instances(
        run_of(columns := Columns({"x": x}, tuple(map(str, range(30))), kind), tmp_path),
        columns,
    )
    media, content = shown.thumbnail(4)
    assert media == "image/svg+xml"
    assert content.startswith(b"<svg")
    assert shown.picture(4) == (media, content)


def test_who_looks_alike_is_near(instances):
    about = instances.about(5)
    assert about["nearest"][0] == [6, 0.0]
    assert len(about["nearest"]) == 6
    assert about["copies"] == (6,)
    assert about["values"] == []
    assert about["actual"] == [None, None]  # nobody has verified


def test_a_row_of_a_table_is_shown_in_measured_values(tmp_path):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    x[7] = torch.tensor([0.0, 9.0, 0.0])
    columns = Columns({"x": x}, tuple(map(str, range(50))), "row")
    scaling = Scaling(
        ("age", "height", "weight"),
        torch.tensor([40.0, 1.7, 70.0]),
        torch.tensor([10.0, 0.1, 9.0]),
    )
    values = Instances(run_of(columns, tmp_path), columns, scaling=scaling).about(7)[
        "values"
    ]
    assert values[0][:2] == ["height", 2.6]
    assert values[0][2] > 4
    unnamed = Instances(run_of(columns, tmp_path), columns).about(7)["values"]
    assert unnamed[0][:2] == ["2", 9.0]


def test_files_are_found_in_their_folder_if_they_are_there(tmp_path, reviewed, data):
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "digit-1.png").write_bytes(b"")
    shown = Instances(reviewed, data, files=tmp_path)
    assert shown.file_of(1) == tmp_path / "many" / "digit-1.png"
    assert shown.file_of(2) is None
    assert Instances(reviewed, data).file_of(1) is None
    assert shown.data.ids[0] == HOSTILE
