"""Range, 8 bits and size of images, explicit and named, in front of any feature map."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from counterplay.errors import ConfigError
from counterplay.features import _images
from counterplay.features._images import Range
from counterplay.features._map import identified
from counterplay.typing import FeatureMap


@dataclass(frozen=True)
class Preprocessed:
    """A feature map of preprocessed images; see `preprocessed`.

    Attributes:
        map: What reads the preprocessed images.
        resize: Side of the images that it reads, in pixels, or None.
        quantise: Whether images are rounded to 8 bits first.
        from_range: The values of black and white that are expected.
        to_range: Those that the map reads.
    """

    map: FeatureMap
    resize: int | None
    quantise: bool
    from_range: Range
    to_range: Range

    @property
    def name(self) -> str:
        """The name of the map and what is done before it, in that order."""
        parts = [self.map.name]
        parts += ["uint8"] if self.quantise else []
        parts += [f"bicubic{self.resize}"] if self.resize else []
        return "_".join(parts)

    @property
    def fingerprint(self) -> str:
        """A hash of the map's fingerprint and of what is done before it."""
        done = (self.resize, self.quantise, self.from_range, self.to_range)
        return identified(self.map.fingerprint, repr(done))

    @property
    def n_features(self) -> int | None:
        """Number of columns, if the map knows it."""
        return getattr(self.map, "n_features", None)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Ids of the instances that the map was trained on."""
        return getattr(self.map, "trained_on", ())

    @property
    def logits(self) -> Callable[[Tensor], Tensor] | None:
        """The logits of instances, if the map has any."""
        logits = getattr(self.map, "logits", None)
        return None if logits is None else lambda x: logits(self.prepared(x))

    def __call__(self, x: Tensor) -> Tensor:
        """The features, one row per image; differentiable in `x` if the map is."""
        return self.map(self.prepared(x))

    def prepared(self, x: Tensor) -> Tensor:
        """The images as the map reads them; differentiable in `x`."""
        _images.check_images(self.name, x)
        _images.check_range(self.name, x, self.from_range)
        levels = _images.to_levels(x, self.from_range, quantise=self.quantise)
        if self.resize is not None:
            levels = _images.resized(levels, (self.resize, self.resize))
        low, high = self.to_range
        return low + levels * ((high - low) / 255)


def preprocessed(
    map: FeatureMap,
    *,
    resize: int | None = None,
    quantise: bool = False,
    from_range: tuple[float, float] = (-1.0, 1.0),
    to_range: tuple[float, float] = (0.0, 255.0),
) -> Preprocessed:
    """Put range, rounding and resizing of images in front of a feature map.

    First the values are rounded to the 256 levels of an image file, if asked; then images
    are resized by antialiased bicubic interpolation, which is not rounded again and may
    overshoot; then they are brought to the range that the map reads. All is differentiable:
    rounding passes the gradient straight through. Whatever changes the features is part of
    the name, `inception_uint8_bicubic299`, as scores with other preprocessing cannot be
    compared. Source: Parmar, Zhang and Zhu 2022, arXiv 2104.11222, for the filter.

    Args:
        map: What reads the images, such as `features.onnx("encoder.onnx")`.
        resize: Side of the square that the map reads, in pixels; as they are if not given.
        quantise: Whether to round to 8 bits, as writing images to files does.
        from_range: Values of black and white in the data and in what is generated.
        to_range: Those that the map was made for.

    Returns:
        The map of images as they are.

    Raises:
        ConfigError: If a range is empty, or the side below 1.
    """
    for what, (low, high) in {"from_range": from_range, "to_range": to_range}.items():
        if not low < high:
            raise ConfigError(
                f"`{what}` must be the values of black and white, such as (-1, 1), got "
                f"({low}, {high})."
            )
    if resize is not None and resize < 1:
        raise ConfigError(f"`resize` must be at least 1 pixel, got {resize}.")
    return Preprocessed(map, resize, quantise, _range(from_range), _range(to_range))


def _range(given: tuple[float, float]) -> Range:
    """Floats, as (-1, 1) and (-1.0, 1.0) must have one fingerprint."""
    return float(given[0]), float(given[1])
