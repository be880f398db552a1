import json
from dataclasses import replace

import pytest
import torch
from example_run import HOSTILE, N

from counterplay.data.splits import Scaling
from counterplay.errors import DataError
from counterplay.game import Columns
from counterplay.report import gallery, records


def shown(folder, data=None, **options):
    return gallery.content(records.read(folder), data, **options)


def test_both_ends_are_shown_and_marked(folder, data):
    found = shown(folder, data)
    first, second = found["instances"][:2]
    assert (first["row"], first["removal"], first["rank"]) == (0, [-1.0], [1])
    assert (second["row"], second["rank"]) == (N - 1, [N])
    assert found["known"][0] == {"id": HOSTILE, "label": "a", "planted": True}
    assert found["pictures"][0].startswith("data:image/webp")
    assert len(found["instances"]) == N
    assert found["pixelated"]


def test_what_is_shown_comes_in_turn_from_either_end_by_every_metric(influence):
    other = replace(influence, gradient=influence.gradient.roll(1))
    assert gallery.chosen([influence], 3) == [0, N - 1, 1]
    assert gallery.chosen([influence, other], 5) == [0, N - 1, 1, N - 2, 2]
    assert gallery.chosen([influence], 99) != list(range(N))
    assert sorted(gallery.chosen([influence], 99)) == list(range(N))


def test_instances_that_were_not_traced_are_left_out(folder, influence):
    gradient = influence.gradient.clone()
    gradient[3:] = torch.nan
    replace(influence, gradient=gradient).save(folder / "influence_0.npz")
    found = shown(folder)
    assert sorted(one["row"] for one in found["instances"]) == [0, 1, 2]
    assert found["metrics"][0]["n"] == 3


def test_without_data_or_scores_only_ids_remain(folder):
    (folder / "scores.csv").unlink()
    found = shown(folder, n=4)
    assert found["known"][0] == {"id": HOSTILE, "label": "", "planted": False}
    assert (found["pictures"], found["kind"]) == ({}, "")
    assert set(found["known"]) == {one["row"] for one in found["instances"]}


def test_labels_come_from_the_data_when_the_scores_have_none(folder, data):
    (folder / "scores.csv").unlink()
    assert shown(folder, data)["known"][1]["label"] == "b"
    assert shown(folder, replace(data, class_names=()))["known"][1]["label"] == "1"
    y = torch.full((N,), -1)
    unknown = replace(data, tensors={**data.tensors, "y": y})
    assert shown(folder, unknown)["known"][1]["label"] == ""


def test_data_of_another_run_is_refused(folder, data):
    with pytest.raises(DataError, match=r"has 39 instances .*but 40 were traced.*Give the"):
        shown(folder, data.select(range(1, N)))


def test_neighbours_copies_and_samples_are_named(folder, data):
    x = data["x"].clone()
    x[7] = x[0]
    twice = replace(data, tensors={**data.tensors, "x": x})
    found = shown(folder, twice, n=2, samples=x[20:25] + 0.01)
    first = found["instances"][0]
    assert (first["copies"], first["n_copies"]) == (["digit-7.png"], 1)
    assert first["near"][0] == [7, 0.0]
    assert {row for row, _ in first["near"]} <= set(found["pictures"])
    assert len(first["near_samples"]) == gallery.N_NEAREST
    assert found["n_samples"] == 5
    assert set(found["samples"]) <= set(range(5))


def test_the_true_effect_and_the_margin_come_from_retraining(folder):
    (metric,) = shown(folder)["metrics"]
    assert metric["actual"][0] == pytest.approx(-1.0, abs=0.01)
    assert 1 not in metric["actual"]  # every other one was retrained without
    assert 0.001 < metric["margin"] < 0.004
    assert metric["attributable"]


def test_contributions_of_stretches_sum_to_the_effect(folder, influence):
    parts = torch.stack([influence.gradient * 0.25, influence.gradient * 0.75])
    traced = replace(influence, by_stretch=parts, stretches=(0, 100, 300))
    traced.save(folder / "influence_0.npz")
    found = shown(folder)
    assert found["metrics"][0]["stretches"] == [0, 100, 300]
    assert found["instances"][0]["by_stretch"] == [[-0.25, -0.75]]


def test_rows_of_a_table_have_their_measured_values(folder, data):
    x = torch.zeros(N, 3)
    x[0, 1] = 5.0
    table = Columns({"x": x}, data.ids, kind="row")
    scaling = Scaling(("a", "b", "c"), torch.ones(3), torch.full((3,), 2.0))
    (first, *_) = shown(folder, table, scaling=scaling)["instances"]
    name, value, deviations = first["values"][0]
    assert (name, value) == ("b", 11.0)
    assert deviations > 5
    assert shown(folder, table)["instances"][0]["values"][0][:2] == ["2", 5.0]


def test_nothing_can_end_the_element_that_holds_the_json():
    hostile = {"id": "</script><!--<b>"}
    text = gallery.embedded(hostile)
    assert "<" not in text
    assert json.loads(text) == hostile
