import gzip
import struct

import numpy as np
import pytest
import torch

from counterplay.data.mnist import mnist
from counterplay.errors import DataError


def _idx(array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def _write(folder, prefix, n, *, compress=False, seed=0):
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (n, 6, 6)), np.arange(n) % 3
    for array, name in ((images, "images-idx3-ubyte"), (labels, "labels-idx1-ubyte")):
        content = _idx(array)
        path = folder / f"{prefix}-{name}{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(content) if compress else content)
    return images, labels


@pytest.mark.parametrize("compress", [False, True])
def test_images_and_labels_are_read(tmp_path, compress):
    images, labels = _write(tmp_path, "train", 30, compress=compress)
    _write(tmp_path, "t10k", 9, compress=compress, seed=1)
    splits = mnist(tmp_path)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (24, 6, 9)
    assert splits.name == tmp_path.name
    for part in (splits.train, splits.valid):
        rows = [int(name.removeprefix("train/")) for name in part.ids]
        expected = torch.from_numpy(images[rows]).float() / 127.5 - 1
        assert torch.equal(part["x"][:, 0], expected)
        assert part["y"].tolist() == labels[rows].tolist()
    assert splits.test.ids[0] == "test/00000"


def test_sizes_take_subsets(tmp_path):
    _write(tmp_path, "train", 30)
    _write(tmp_path, "t10k", 9)
    splits = mnist(tmp_path, n_train=6, n_valid=3, n_test=3, seed=2)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (6, 3, 3)
    assert splits.train["y"].bincount().tolist() == [2, 2, 2]
    with pytest.raises(DataError, match="There are 9 instances, but the split takes 10"):
        mnist(tmp_path, n_test=10)


def test_without_test_files_or_labels_the_train_files_are_divided(tmp_path):
    _write(tmp_path, "train", 30)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    splits = mnist(tmp_path)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (18, 6, 6)
    assert "y" not in splits.train.tensors


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no 'train-images-idx3-ubyte' or"):
        mnist(tmp_path)
    with pytest.raises(DataError, match="There is no folder at"):
        mnist(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_idx(np.zeros((3, 2, 2)))[:-1], "not a whole idx file"),
        (b"\x00", "not a whole idx file"),
        (b"\x00\x00\x07\x01\x00\x00\x00\x00", "not a whole idx file"),
        (b"\x1f\x8bnot gzip", "not a whole idx file"),
        (b"\x01" + _idx(np.zeros((3, 2, 2)))[1:], "does not begin like an idx file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte.*{message}"):
        mnist(tmp_path)


def test_labels_of_another_set_are_refused(tmp_path):
    _write(tmp_path, "train", 30)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(_idx(np.zeros(29)))
    with pytest.raises(DataError, match=r"holds 30 images, but 'train-labels.*' 29 labels"):
        mnist(tmp_path)
