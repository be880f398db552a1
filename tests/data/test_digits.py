import pytest
import torch
from sklearn.datasets import load_digits

from counterplay.data.digits import digits
from counterplay.errors import DataError


def test_pixels_and_labels_are_those_of_scikit_learn():
    bunch = load_digits()
    splits = digits()
    for part in (splits.train, splits.valid, splits.test):
        rows = [int(name.removeprefix("digits/")) for name in part.ids]
        expected = torch.from_numpy(bunch.images[rows]).float() / 8 - 1
        assert torch.equal(part["x"][:, 0], expected)
        assert part["y"].tolist() == bunch.target[rows].tolist()


def test_parts_are_stratified_and_span_the_range():
    splits = digits(seed=1)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (1078, 360, 359)
    counts = splits.valid["y"].bincount()
    assert counts.min() >= 34
    assert counts.max() <= 38
    assert (splits.train["x"].min(), splits.train["x"].max()) == (-1, 1)
    assert splits.train.kind == "image"
    assert splits.train.class_names == tuple("0123456789")


def test_larger_digits_have_the_same_mean():
    small, large = digits().train["x"], digits(size=16).train["x"]
    assert large.shape[1:] == (1, 16, 16)
    assert large.abs().max() <= 1
    torch.testing.assert_close(large.mean(), small.mean(), atol=0.02, rtol=0)


def test_digits_do_not_shrink():
    with pytest.raises(DataError, match=r"`size` must be at least 8.*got 7"):
        digits(size=7)
