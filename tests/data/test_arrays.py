import numpy as np
import pytest
import torch

from counterplay.data._arrays import (
    channels_first,
    columns_of,
    existing,
    labels_of,
    to_pixels,
)
from counterplay.errors import DataError


def test_bytes_span_minus_one_to_one():
    assert to_pixels(np.array([0, 255], np.uint8)).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((2, 8, 9), (2, 1, 8, 9)),
        ((2, 8, 9, 3), (2, 3, 8, 9)),
        ((2, 8, 9, 1), (2, 1, 8, 9)),
        ((2, 3, 8, 9), (2, 3, 8, 9)),
    ],
)
def test_channels_come_first(given, expected):
    assert channels_first(np.zeros(given)).shape == expected


def test_text_becomes_labels():
    labels, names = labels_of(np.array(["b", "a", "b"]))
    assert labels.tolist() == [1, 0, 1]
    assert names == ("a", "b")


def test_numbers_stay_labels_or_values():
    assert labels_of(np.array([[3], [1]], np.uint8))[0].dtype == torch.int64
    assert labels_of(np.array([0.5, 1.5]))[0].dtype == torch.float32


def test_several_labels_per_instance_are_refused():
    with pytest.raises(
        DataError, match=r"Labels have shape \(2, 3\); give one per instance"
    ):
        labels_of(np.zeros((2, 3)))


def test_images_of_floats_out_of_range_are_refused():
    with pytest.raises(
        DataError, match=r"images of 'x' are float64 from 0 to 255.*in \[-1, 1\]"
    ):
        columns_of(np.array([[[0.0, 255.0]]]), None, prefix="x")


def test_arrays_that_hold_no_instances_are_refused():
    with pytest.raises(DataError, match=r"array 'x' has shape \(4,\) and type float64"):
        columns_of(np.zeros(4), None, prefix="x")
    with pytest.raises(DataError, match="type <U1"):
        columns_of(np.array([["a"]]), None, prefix="x")


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no folder at '.*nowhere'. Check `path`"):
        existing(tmp_path / "nowhere", "folder")
