import struct

import numpy as np
import pytest
import torch

from counterplay import data
from counterplay.data.stacked_mnist import stacked_mnist
from counterplay.errors import DataError


def _digits(n, seed, size=6):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, size, size)).astype(np.uint8), np.arange(n) % 10


@pytest.fixture
def file(tmp_path):
    x, y = _digits(60, 0)
    x_test, y_test = _digits(20, 1)
    path = tmp_path / "tiny.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture
def folder(tmp_path):
    for array, name in zip(_digits(60, 0), ("images-idx3", "labels-idx1"), strict=True):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        content = head + array.astype(np.uint8).tobytes()
        (tmp_path / f"train-{name}-ubyte").write_bytes(content)
    return tmp_path


SIZES = {"n_train": 40, "n_valid": 15, "n_test": 10}


@pytest.mark.parametrize("source", ["file", "folder"])
def test_each_channel_is_the_digit_that_the_id_names(source, request):
    path = request.getfixturevalue(source)
    splits = stacked_mnist(path, **SIZES)
    single = data.load("npz" if source == "file" else "mnist", path=path)
    assert splits.name == f"stacked_{single.name}"
    for part, size in zip(("train", "valid", "test"), SIZES.values(), strict=True):
        columns, pool = getattr(splits, part), getattr(single, part)
        assert columns["x"].shape == (size, 3, 6, 6)
        for x, y, name in zip(columns["x"], columns["y"], columns.ids, strict=True):
            number, _, three = name.partition(": ")
            rows = [pool.ids.index(one) for one in three.split("+")]
            assert torch.equal(x, pool["x"][rows, 0])
            digits = "".join(str(int(label)) for label in pool["y"][rows])
            assert number.split("/")[0] == part
            assert number.endswith(f"/{digits}")
            assert int(digits) == int(y)
            assert columns.class_names[int(y)] == digits


def test_draws_are_those_of_the_seed_and_uniform(file):
    first, again = stacked_mnist(file, **SIZES), stacked_mnist(file, **SIZES)
    assert first.train.fingerprint == again.train.fingerprint
    assert stacked_mnist(file, **SIZES, seed=1).train.ids != first.train.ids
    many = stacked_mnist(file, n_train=3_000, n_valid=1, n_test=1).train
    for place in (1, 10, 100):
        counts = (many["y"] // place % 10).bincount(minlength=10)
        assert counts.min() > 220  # of 300 expected; the standard deviation is 16
        assert counts.max() < 380
    assert torch.equal(many["x"][:40], first.train["x"])  # other sizes, same beginning


def test_what_cannot_be_stacked_is_refused(tmp_path, file):
    path = tmp_path / "other.npz"
    x, y = _digits(30, 0)
    for arrays, text in (
        ({"x": x}, "has no labels, but each digit needs one"),
        ({"x": x, "y": y + 1}, "has labels from 1 to 10"),
        ({"x": x, "y": y / 2}, "has labels from 0 to 4.5"),
        ({"x": np.stack([x] * 3, 1), "y": y}, r"instances of shape \(3, 6, 6\)"),
        ({"x": x.reshape(30, -1), "y": y}, r"instances of shape \(36,\)"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=text):
            stacked_mnist(path)
    with pytest.raises(DataError, match="`n_valid` must be at least 1, got 0"):
        stacked_mnist(file, n_valid=0)
    with pytest.raises(DataError, match="There is no folder or file at"):
        stacked_mnist(tmp_path / "nowhere")
