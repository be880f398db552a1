"""A folder of image files."""

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from counterplay.data._arrays import channels_first, existing, to_pixels
from counterplay.data.splits import complete, Splits
from counterplay.errors import DataError
from counterplay.game import Columns


SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
UNLABELLED = "unlabelled"  # the folder of images whose class nobody has told
_PART_OF = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}


def image_folder(
    path: str | Path,
    *,
    size: int,
    skip_broken: bool = False,
    channels: int | None = None,
    n_train: int | None = None,
    n_valid: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> Splits:
    """All images below a folder, cropped to the square in the middle, in [-1, 1].

    Subfolders `train`, `valid` (or `val`) and `test` are the parts, if there are two of
    them; a missing part is cut from `train`. If every image lies in a subfolder (of its
    part), the outermost one is its label; those in a subfolder `unlabelled` beside others
    have none, which is -1. Files and folders whose name begins with a dot are left out;
    transparency is laid on white; of an animation the first frame is read.

    Args:
        path: The folder.
        size: Side of the images, in pixels.
        skip_broken: Leave out files that cannot be read, with one warning that names them.
        channels: 1 for gray, 3 for colour; default 1 if every file is gray.
        n_train: Instances to learn from; default all that the other parts leave.
        n_valid: Instances to choose by; default all of `valid`, or a fifth of the rest.
        n_test: Instances to prove with; default all of `test`, or a fifth of the rest.
        seed: Determines who is in which part; labels keep their shares.

    Returns:
        Columns `"x"` of shape `(n, channels, size, size)` and, with labels, `"y"`; ids are
        paths from `path` on.

    Raises:
        DataError: If a file cannot be read, or there are too few.
    """
    if channels not in (None, 1, 3):
        raise DataError(
            f"`channels` must be 1 (gray), 3 (colour) or None, got {channels!r}."
        )
    root = existing(path, "folder")
    files = _image_files(root)
    images = _read_all(
        files, root, partial(_read, size=size, channels=channels), skip_broken
    )
    parts = _columns(images, _parts(root, images))
    return complete(
        parts["train"],
        parts.get("valid"),
        parts.get("test"),
        name=root.resolve().name,
        sizes=(n_train, n_valid, n_test),
        seed=seed,
    )


def images_in(
    path: str | Path,
    *,
    size: int,
    skip_broken: bool = False,
    channels: int | None = None,
) -> Columns:
    """All images below a folder as one set; the arguments are those of `image_folder`.

    Raises:
        DataError: If a file cannot be read, or there is none.
    """
    root = existing(path, "folder")
    read = partial(_read, size=size, channels=channels)
    images = _read_all(_image_files(root), root, read, skip_broken)
    return _columns(images, {"": list(images)})["train"]


def _image_files(root: Path) -> list[Path]:
    files = [
        file
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
    ]
    if not files:
        raise DataError(
            f"There are no images in {str(root)!r} or below; looked for {list(SUFFIXES)}. "
            "Check `path`."
        )
    return files


def _read_all(
    files: list[Path], root: Path, read: Callable[[Path], np.ndarray], skip_broken: bool
) -> dict[Path, np.ndarray]:
    # Path from `root` to pixels, for all files that can be read.

    def attempt(file: Path) -> np.ndarray | Exception:
        try:
            return read(file)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return error

    with ThreadPoolExecutor() as pool:
        contents = pool.map(attempt, files)
        results = {
            file.relative_to(root): content
            for file, content in zip(files, contents, strict=True)
        }
    broken = {f: error for f, error in results.items() if isinstance(error, Exception)}
    if broken and not skip_broken:
        file, error = next(iter(broken.items()))
        raise DataError(
            f"{file.as_posix()!r} in {str(root)!r} cannot be read as an image ({error}); "
            f"{len(broken)} of {len(files)} files cannot. Repair or delete them, or give "
            "`skip_broken=True` (`--skip-broken`)."
        ) from error
    if broken:
        names = ", ".join(repr(file.as_posix()) for file in broken)
        warnings.warn(
            f"{len(broken)} of {len(files)} files in {str(root)!r} cannot be read as "
            f"images and are left out: {names}.",
            stacklevel=3,
        )
    if len(broken) == len(files):
        raise DataError(f"None of the {len(files)} files in {str(root)!r} can be read.")
    return {f: pixels for f, pixels in results.items() if not isinstance(pixels, Exception)}


def _read(file: Path, *, size: int, channels: int | None) -> np.ndarray:
    """Bytes of shape `(size, size)` if gray, else `(size, size, 3)`."""
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image)
        gray = upright.mode in ("1", "L", "LA") or upright.mode.startswith("I")
        mode = "L" if channels == 1 or (gray and channels is None) else "RGB"
        plain = _without_alpha(_as_bytes(upright)).convert(mode)
    # BICUBIC averages over all pixels when it shrinks, so there is no aliasing.
    square = ImageOps.fit(plain, (size, size), method=Image.Resampling.BICUBIC)
    return np.asarray(square)


def _as_bytes(image: Image.Image) -> Image.Image:
    """Sixteen-bit gray as eight-bit gray; `convert` would cut it off at 255."""
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.float64) / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def _without_alpha(image: Image.Image) -> Image.Image:
    if not (image.mode.endswith("A") or "transparency" in image.info):
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _parts(root: Path, images: Iterable[Path]) -> dict[str, list[Path]]:
    # Part to files; everything in `""` if the folders do not name parts.
    folders = {folder for folder in _PART_OF if (root / folder).is_dir()}
    if "train" not in folders or len({_PART_OF[folder] for folder in folders}) < 2:
        return {"": list(images)}  # a single folder called `train` may well be a class
    parts: dict[str, list[Path]] = {}
    for file in images:
        if file.parts[0] not in folders:
            raise DataError(
                f"{file.as_posix()!r} lies outside the parts {sorted(folders)} of "
                f"{str(root)!r}. Move it into one of them."
            )
        parts.setdefault(_PART_OF[file.parts[0]], []).append(file)
    if "train" not in parts:
        raise DataError(f"There is no image in {str(root / 'train')!r}. Check `path`.")
    return parts


def _columns(
    images: dict[Path, np.ndarray], parts: dict[str, list[Path]]
) -> dict[str, Columns]:
    """Part to instances, with colours and labels that agree between the parts."""
    level = 0 if "" in parts else 1  # where in a path the label stands
    labelled = all(len(file.parts) > level + 1 for file in images)
    folders = {file.parts[level] for file in images} if labelled else set()
    class_names = sorted(folders - {UNLABELLED} or folders)
    label_of = {name: label for label, name in enumerate(class_names)}
    colour = any(pixels.ndim == 3 for pixels in images.values())
    columns = {}
    for part, files in parts.items():
        pixels = [_with_colour(images[file]) if colour else images[file] for file in files]
        tensors = {"x": to_pixels(channels_first(np.stack(pixels)))}
        if labelled:
            labels = [label_of.get(file.parts[level], -1) for file in files]
            tensors["y"] = torch.tensor(labels)
        ids = tuple(file.as_posix() for file in files)
        columns[part or "train"] = Columns(tensors, ids, "image", tuple(class_names))
    return columns


def _with_colour(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
