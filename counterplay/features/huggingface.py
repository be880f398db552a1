"""Features of vision models such as DINOv2 and CLIP, as `transformers` keeps them."""

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn, Tensor

from counterplay.errors import DataError
from counterplay.features import _frozen, _images
from counterplay.features._map import check_name, first_line, identified, missing, optional
from counterplay.features.from_module import ModuleFeatures
from counterplay.features.preprocessed import Preprocessed, preprocessed


PROCESSOR = "preprocessor_config.json"
_EXTRA = {"extra": "transformers", "what": "huggingface"}
_MODES = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


class VisionNetwork(nn.Module):
    """From images in [0, 255] to the pooled output of a vision model.

    Args:
        model: The model.
        size: Height and width, or the side that the shorter one is brought to.
        crop: Height and width of the middle that is read, or None for all of it.
        mode: How images are resized.
        factor: From [0, 255] to what `mean` is measured in.
        mean: What is subtracted, per channel.
        std: What is divided by, per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        size: tuple[int, int] | int | None,
        crop: tuple[int, int] | None,
        mode: str,
        factor: float,
        mean: list[float],
        std: list[float],
    ):
        super().__init__()
        self.model = model
        self.size, self.crop, self.mode, self.factor = size, crop, mode, factor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    @property
    def description(self) -> str:
        """What is done to images, as a part of a name: `bicubic256_crop224`."""
        parts = [self.mode + _digits(self.size)] if self.size else []
        return "_".join(parts + ([f"crop{_digits(self.crop)}"] if self.crop else []))

    def forward(self, levels: Tensor) -> Tensor:
        """The pooled output.

        Raises:
            DataError: If the model has none.
        """
        x = self.cropped(self.resized(_images.in_colour(levels)))
        output = self.model(pixel_values=(x * self.factor - self.mean) / self.std)
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise DataError(
                f"A {type(self.model).__name__} gives {sorted(output)}, but no pooled "
                "output. Wrap it in a module that pools, and use `features.from_module`."
            )
        return pooled

    def resized(self, x: Tensor) -> Tensor:
        """Images of the size that the model was trained on."""
        if self.size is None:
            return x
        size = self.size
        if isinstance(size, int):
            height, width = x.shape[2:]
            short = min(height, width)
            size = (size * height // short, size * width // short)
        return _images.resized(x, size, self.mode)

    def cropped(self, x: Tensor) -> Tensor:
        """The middle of the images.

        Raises:
            DataError: If they are smaller than it.
        """
        if self.crop is None:
            return x
        (height, width), (high, wide) = x.shape[2:], self.crop
        if height < high or width < wide:
            raise DataError(
                f"Images of {height} x {width} pixels cannot be cropped to {high} x "
                f"{wide}. Use `crop=False`, or resize them by `features.preprocessed`."
            )
        top, left = (height - high) // 2, (width - wide) // 2
        return x[:, :, top : top + high, left : left + wide]


def huggingface(
    path_or_name: str | os.PathLike[str],
    *,
    name: str | None = None,
    crop: bool = True,
    quantise: bool = False,
    from_range: tuple[float, float] = (-1.0, 1.0),
) -> Preprocessed:
    """The pooled output of a vision model of `transformers`, such as DINOv2 or CLIP.

    Images are resized, cropped and normalised as the model's `preprocessor_config.json`
    says, but by PyTorch, in floats and with a gradient. Gray images are repeated to three
    channels. Nothing is downloaded: give a folder, or a name that is in the cache.

    Args:
        path_or_name: Folder of `save_pretrained`, or a name such as
            `"facebook/dinov2-base"`; needs the extra `transformers`.
        name: What the map is called in the names of results, before the preprocessing; by
            default the last part of the path.
        crop: Whether to crop as the model's own preprocessing does. It hides the border
            from the metric; without, images are resized to what the crop would leave.
        quantise: Whether to round to 8 bits, as writing images to files does.
        from_range: Values of black and white in the data and in what is generated.

    Returns:
        The map, called such as `dinov2_base_bicubic256_crop224`.

    Raises:
        DataError: If there is no such model with a pooled output, or its preprocessing is
            unknown.
    """
    source = os.fspath(path_or_name)
    label = re.sub(r"\W", "_", Path(source).resolve().name) if name is None else name
    check_name(label)
    auto = optional("transformers", "AutoModel", **_EXTRA)
    cached_file = optional("transformers.utils", "cached_file", **_EXTRA)
    model = _loaded(auto, source)
    try:
        text = Path(cached_file(source, PROCESSOR, local_files_only=True)).read_text()
        steps = _steps(json.loads(text), crop=crop)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"The {PROCESSOR} of {source!r} cannot be followed: {first_line(error)} Save "
            "the model's image processor beside it, or use `features.from_module` and "
            "`features.preprocessed`."
        ) from error
    network = VisionNetwork(model, **steps).eval().requires_grad_(False)
    fingerprint = identified(_frozen.fingerprint(network), json.dumps(steps), repr(model))
    described = "_".join(part for part in (label, network.description) if part)
    core = ModuleFeatures(described, None, fingerprint, network)
    return preprocessed(core, quantise=quantise, from_range=from_range)


def _loaded(auto: Any, source: str) -> nn.Module:
    try:
        model, info = auto.from_pretrained(
            source, local_files_only=True, output_loading_info=True
        )
    except ImportError as error:  # imports what the model needs, on demand
        raise missing(error, "transformers", **_EXTRA) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"There is no model {source!r} here: {first_line(error)} Give a folder of "
            "`save_pretrained`, or download it once by `hf download`."
        ) from error
    vision = getattr(model, "vision_model", model)  # CLIP reads text too
    random = [key for key in info["missing_keys"] if "text" not in key]
    if random:
        raise DataError(
            f"The files of {source!r} lack {len(random)} weights, such as "
            f"{sorted(random)[0]!r}, and `transformers` draws those at random. Give a "
            "complete model."
        )
    return vision.float()


def _steps(config: dict[str, Any], *, crop: bool) -> dict[str, Any]:
    """The arguments of `VisionNetwork` that a processor's configuration says.

    Raises:
        ValueError: If its way of resizing is unknown.
    """
    cropped = config.get("do_center_crop", False)
    middle = _sides(config["crop_size"], square=True) if cropped else None
    size = None
    if config.get("do_resize", True):
        size = _sides(config["size"], square=not cropped)
    if not crop and middle is not None:
        size, middle = middle, None
    mode = config.get("resample", 3)
    if mode not in _MODES:
        raise ValueError(f"`resample` is {mode}, and only {_MODES} are known.")
    scaled, normalised = config.get("do_rescale", True), config.get("do_normalize", True)
    return {
        "size": size,
        "crop": middle,
        "mode": _MODES[mode],
        "factor": config.get("rescale_factor", 1 / 255) if scaled else 1.0,
        "mean": config["image_mean"] if normalised else [0.0],
        "std": config["image_std"] if normalised else [1.0],
    }


def _sides(size: Any, *, square: bool) -> Any:
    """Height and width, or one number for the shorter side."""
    if isinstance(size, int):
        return (size, size) if square else size
    if "shortest_edge" in size:
        return size["shortest_edge"]
    return size["height"], size["width"]


def _digits(size: tuple[int, int] | int | None) -> str:
    if isinstance(size, tuple) and size[0] != size[1]:
        return f"{size[0]}x{size[1]}"
    return str(size[0] if isinstance(size, tuple) else size)
