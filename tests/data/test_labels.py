"""Data of which only some instances have a label."""

from collections import Counter

import pytest
import torch

from counterplay import data
from counterplay.data.labels import partly_labelled
from counterplay.errors import DataError
from counterplay.game import Columns


def columns(y):
    y = torch.as_tensor(y)
    x = torch.arange(len(y)).float()[:, None]
    return Columns({"x": x, "y": y}, tuple(map(str, range(len(y)))), class_names=("a", "b"))


def counts(found):
    return Counter(found["y"].tolist())


def test_labels_are_kept_evenly_and_nothing_else_changes():
    everyone = columns([0] * 20 + [1] * 6 + [2] * 14)
    found = partly_labelled(everyone, 10)
    assert sorted(counts(found).values()) == [3, 3, 4, 30]
    kept = found["y"] != -1
    assert torch.equal(found["y"][kept], everyone["y"][kept])
    assert torch.equal(found["x"], everyone["x"])
    assert (found.ids, found.class_names) == (everyone.ids, everyone.class_names)
    assert counts(everyone) == {0: 20, 1: 6, 2: 14}


def test_a_small_class_keeps_all_of_its_labels():
    found = partly_labelled(columns([0] * 10 + [1] * 2), 8)
    assert counts(found) == {0: 6, 1: 2, -1: 4}


def test_the_seed_determines_whose_labels_are_kept():
    everyone = columns([0, 1] * 30)
    found = [partly_labelled(everyone, 6, seed=seed)["y"] for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_who_had_no_label_gets_none():
    found = partly_labelled(columns([0, -1, 1, -1, 0, 1]), 4)
    assert found["y"].tolist() == [0, -1, 1, -1, 0, 1]


@pytest.mark.parametrize("n", [1, 5, "two"])
def test_a_number_of_labels_that_cannot_be_is_refused(n):
    with pytest.raises(DataError, match=rf"from 2, one .* to the 4 there are, got {n!r}"):
        partly_labelled(columns([0, 0, 1, 1]), n)


def test_data_without_labels_is_refused():
    points = Columns({"x": torch.zeros(2, 2)}, ("a", "b"))
    with pytest.raises(DataError, match=r"keeps 2 labels, .* \['x'\] and no label `y`"):
        partly_labelled(points, 2)


def test_any_data_set_is_loaded_partly_labelled_in_its_training_part():
    whole, found = data.load("digits"), data.load("digits", labelled=30)
    assert set(counts(found.train).values()) == {3, 1_048}
    assert found.test.fingerprint == whole.test.fingerprint
    assert found.valid.fingerprint == whole.valid.fingerprint
    assert torch.equal(found.train["x"], whole.train["x"])
    other = data.load("digits", labelled=30, seed=1)
    assert counts(other.train)[-1] == 1_048
