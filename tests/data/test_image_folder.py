import numpy as np
import pytest
import torch
from PIL import Image

from counterplay.data.image_folder import image_folder
from counterplay.errors import DataError


def _save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)


def _gray(path, value=255, shape=(8, 8)):
    _save(path, np.full(shape, value))


def _parts(splits):
    return (splits.train, splits.valid, splits.test)


def _all(splits):
    """Id to image."""
    return {
        i: x for part in _parts(splits) for i, x in zip(part.ids, part["x"], strict=True)
    }


def test_a_flat_folder_has_no_labels(tmp_path):
    for i in range(10):
        _gray(tmp_path / f"{i}.png", value=25 * i)
    splits = image_folder(tmp_path, size=8)
    assert [len(part) for part in _parts(splits)] == [6, 2, 2]
    assert splits.train["x"].shape[1:] == (1, 8, 8)
    assert "y" not in splits.train.tensors
    assert splits.name == tmp_path.name
    for name, image in _all(splits).items():
        value = 25 * int(name.removesuffix(".png")) / 127.5 - 1
        torch.testing.assert_close(image, torch.full((1, 8, 8), value))


def test_subfolders_are_labels(tmp_path):
    for i in range(5):
        _gray(tmp_path / "b" / f"{i}.png")
        _gray(tmp_path / "a" / "deep" / f"{i}.png")
    splits = image_folder(tmp_path, size=8)
    assert splits.train.class_names == ("a", "b")
    for part in _parts(splits):
        assert [part.class_names[y] for y in part["y"]] == [name[0] for name in part.ids]
    assert splits.valid["y"].sort().values.tolist() == [0, 1]
    assert any(name.startswith("a/deep/") for name in splits.train.ids)


def test_images_of_a_folder_beside_the_classes_have_no_label(tmp_path):
    for part in ("train", "test"):
        for i in range(5):
            _gray(tmp_path / part / "b" / f"{i}.png")
            _gray(tmp_path / part / "zebra" / f"{i}.png")
    for i in range(5):
        _gray(tmp_path / "train" / "unlabelled" / f"{i}.png")
    splits = image_folder(tmp_path, size=8)
    assert splits.train.class_names == ("b", "zebra")
    for part in _parts(splits):
        folders = [name.split("/")[1] for name in part.ids]
        numbers = {"unlabelled": -1, "b": 0, "zebra": 1}
        assert part["y"].tolist() == [numbers[folder] for folder in folders]
    assert (splits.train["y"] == -1).sum() == 4  # a fifth is cut off to validate
    assert (splits.test["y"] >= 0).all()


def test_a_lone_folder_of_that_name_is_a_class(tmp_path):
    for i in range(5):
        _gray(tmp_path / "unlabelled" / f"{i}.png")
    assert image_folder(tmp_path, size=8).train.class_names == ("unlabelled",)


def test_part_folders_are_the_parts(tmp_path):
    for part, n in (("train", 4), ("val", 3), ("test", 2)):
        for i in range(n):
            _gray(tmp_path / part / "ab"[i % 2] / f"{i}.png")
    splits = image_folder(tmp_path, size=8)
    assert [len(part) for part in _parts(splits)] == [4, 3, 2]
    assert splits.valid.ids[0] == "val/a/0.png"
    assert splits.test["y"].tolist() == [0, 1]


def test_a_missing_part_is_cut_from_train(tmp_path):
    for i in range(10):
        _gray(tmp_path / "train" / f"{i}.png")
    for i in range(3):
        _gray(tmp_path / "test" / f"{i}.png")
    splits = image_folder(tmp_path, size=8, n_test=2)
    assert [len(part) for part in _parts(splits)] == [8, 2, 2]


def test_a_class_may_be_called_train(tmp_path):
    for i in range(5):
        _gray(tmp_path / "train" / f"{i}.png")
        _gray(tmp_path / "plane" / f"{i}.png")
    assert image_folder(tmp_path, size=8).train.class_names == ("plane", "train")


def test_one_colour_image_makes_all_of_them_colour(tmp_path):
    for i in range(4):
        _gray(tmp_path / f"{i}.png", value=0)
    _save(tmp_path / "red.png", np.broadcast_to([255, 0, 0], (8, 8, 3)))
    images = _all(image_folder(tmp_path, size=8))
    assert images["0.png"].unique().tolist() == [-1]
    assert images["red.png"][:, 0, 0].tolist() == [1, -1, -1]
    gray = _all(image_folder(tmp_path, size=8, channels=1))
    assert gray["red.png"].shape == (1, 8, 8)
    assert _all(image_folder(tmp_path, size=8, channels=3))["0.png"].shape == (3, 8, 8)


def test_the_middle_is_cropped_and_shrinking_averages(tmp_path):
    board = np.indices((64, 64)).sum(0) % 2 * 255
    wide = np.hstack([np.zeros((64, 32)), board, np.zeros((64, 32))])
    for i in range(5):
        _save(tmp_path / f"{i}.png", wide)
    image = next(iter(_all(image_folder(tmp_path, size=8)).values()))
    assert image[0, :, 1:-1].abs().max() < 0.05  # the mean of black and white; no pattern


def test_many_formats_are_read(tmp_path):
    for suffix in ("png", "jpg", "JPEG", "bmp", "webp", "gif"):
        _gray(tmp_path / f"image.{suffix}", value=255)
    _gray(tmp_path / ".hidden.png")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image")
    images = _all(image_folder(tmp_path, size=8))
    assert len(images) == 6
    for image in images.values():
        torch.testing.assert_close(image, torch.ones_like(image), atol=0.02, rtol=0)


def test_sixteen_bits_are_scaled_and_transparency_is_white(tmp_path):
    deep = Image.fromarray(np.full((8, 8), 257 * 51, np.uint16))
    for i in range(4):
        deep.save(tmp_path / f"{i}.png")
    _save(tmp_path / "clear.png", np.zeros((8, 8, 4)))
    images = _all(image_folder(tmp_path, size=8, channels=1))
    torch.testing.assert_close(images["0.png"], torch.full((1, 8, 8), 51 / 127.5 - 1))
    assert images["clear.png"].unique().tolist() == [1]


def test_a_broken_image_is_named_or_skipped(tmp_path):
    for i in range(6):
        _gray(tmp_path / f"{i}.png")
    (tmp_path / "0.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"'0.png' in .* cannot be read .*; 2 of 6 .*skip_broken"
    ):
        image_folder(tmp_path, size=8)
    with pytest.warns(
        UserWarning, match="2 of 6 files .* left out: '0.png', '2.png'"
    ) as record:
        splits = image_folder(tmp_path, size=8, skip_broken=True, n_valid=1, n_test=1)
    assert len(record) == 1
    assert sum(len(part) for part in _parts(splits)) == 4


@pytest.mark.filterwarnings("ignore:1 of 1 files")
def test_a_folder_without_readable_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="There is no folder at"):
        image_folder(tmp_path / "nowhere", size=8)
    with pytest.raises(DataError, match=r"There are no images in .*; looked for \['.bmp'"):
        image_folder(tmp_path, size=8)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"None of the 1 files in .* can be read"):
        image_folder(tmp_path, size=8, skip_broken=True)


def test_images_outside_the_parts_are_refused(tmp_path):
    for name in ("train/0.png", "test/0.png", "0.png"):
        _gray(tmp_path / name)
    with pytest.raises(
        DataError, match=r"'0.png' lies outside the parts \['test', 'train'\]"
    ):
        image_folder(tmp_path, size=8)
    (tmp_path / "0.png").unlink()
    (tmp_path / "train" / "0.png").unlink()
    with pytest.raises(DataError, match=r"There is no image in '.*train'"):
        image_folder(tmp_path, size=8)


def test_impossible_channels_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"`channels` must be 1 .* got 2"):
        image_folder(tmp_path, size=8, channels=2)
