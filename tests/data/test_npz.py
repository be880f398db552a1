import numpy as np
import pytest
import torch

from counterplay.data.npz import npz
from counterplay.errors import DataError


def test_one_array_is_divided(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.savez(tmp_path / "a.npz", X=x, y=np.arange(50) % 2)
    splits = npz(tmp_path / "a.npz")
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (30, 10, 10)
    assert splits.name == "a"
    assert splits.train.kind == "row"
    rows = [int(name.removeprefix("x/")) for name in splits.test.ids]
    assert torch.equal(splits.test["x"], torch.from_numpy(x[rows]).float())


def test_official_parts_are_kept(tmp_path):
    images = np.zeros((20, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=images, x_valid=images[:6], x_test=images[:5])
    splits = npz(tmp_path / "a.npz", n_train=8, n_valid=4)
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (8, 4, 5)
    assert splits.train["x"].shape[1:] == (3, 4, 4)
    assert splits.train["x"].unique().tolist() == [-1]
    assert splits.test.ids[0] == "x_test/00000"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.zeros(3)}, r"holds the arrays \['z'\], but 'x' or 'x_train' is needed"),
        (
            {"x": np.zeros((3, 1)), "y": np.zeros(2)},
            "'x' has 3 instances, but there are 2 labels",
        ),
        ({"x": np.array([[None]])}, "is not an .npz file of plain arrays"),
        ({"x": np.zeros((2, 1))}, "Every part needs at least one instance"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        npz(tmp_path / "a.npz")


def test_another_kind_of_file_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 and then nothing")
    for name in ("a.npy", "b.npz"):
        with pytest.raises(DataError, match=f"{name}.*is not an .npz file of plain arrays"):
            npz(tmp_path / name)
    with pytest.raises(DataError, match="There is no file at"):
        npz(tmp_path / "c.npz")


def test_images_can_be_padded_with_black(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((20, 4, 4), 255, np.uint8))
    x = npz(tmp_path / "a.npz", pad=2).train["x"]
    assert x.shape[1:] == (1, 8, 8)
    assert torch.equal(x[:, :, 2:6, 2:6], torch.ones(12, 1, 4, 4))
    assert x.sum() == 12 * (16 - 48)


def test_rows_cannot_be_padded(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 4)))
    with pytest.raises(DataError, match=r"`pad` is 2, but .* are of kind 'row'"):
        npz(tmp_path / "a.npz", pad=2)
