"""Inception-v3 with the weights and the protocol of published Fréchet distances."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn, Tensor

from counterplay.errors import DataError
from counterplay.features import _frozen, _images
from counterplay.features._map import check_rows, first_line, optional
from counterplay.features.preprocessed import Preprocessed, preprocessed


SIDE = 299
_FROM = "torch_fidelity"
_RESIZE = "interpolate_bilinear_2d_like_tensorflow1x"


@dataclass(frozen=True)
class Inception:
    """The pooled features of Inception-v3 for images in [0, 255], and its logits.

    Attributes:
        fingerprint: Hash of its weights.
        network: The extractor of torch-fidelity, whose layers are called one by one.
        resize: TensorFlow's first bilinear interpolation, which the weights are used with.
    """

    fingerprint: str
    network: nn.Module = field(repr=False)
    resize: Callable[..., Tensor] = field(repr=False)
    name: str = "inception_tf299"
    n_features: int = 2_048

    def __call__(self, x: Tensor) -> Tensor:
        """The features, one row per image; differentiable in `x`."""
        weight = _weight(self.network)
        levels = _images.in_colour(x.to(weight.device, weight.dtype))
        seen = (self.resize(levels, size=(SIDE, SIDE), align_corners=False) - 128) / 128
        for name, layer in self.network.named_children():
            if name != "fc":
                seen = layer(seen)
        return check_rows(self.name, seen.flatten(1), x, self.n_features)

    def logits(self, x: Tensor) -> Tensor:
        """The 1,008 logits without their bias, as inception scores read them."""
        return self(x) @ _weight(self.network).T


def inception(
    weights: str | os.PathLike[str] | None = None,
    *,
    quantise: bool = True,
    from_range: tuple[float, float] = (-1.0, 1.0),
) -> Preprocessed:
    """The 2,048 features of Inception-v3 that published Fréchet distances are computed on.

    The protocol is torch-fidelity's, which gives TensorFlow's values: images rounded to 8
    bits, TensorFlow 1's bilinear interpolation to 299 x 299 without antialiasing, pooled
    features, logits without bias. All of it is differentiable; rounding passes the gradient
    straight through. Gray images are repeated to three channels. Published numbers compare
    50,000 samples: do not set them beside those of fewer.

    Args:
        weights: File of torch-fidelity's weights; if not given, torch-fidelity downloads
            them once. Needs the extra `inception`.
        quantise: Whether to round to 8 bits, as the protocol asks.
        from_range: Values of black and white in the data and in what is generated.

    Returns:
        The map, called `inception_tf299_uint8`, or `inception_tf299` unrounded.

    Raises:
        DataError: If there is no such file, or it holds other weights.
    """
    need = partial(optional, extra="inception", what="inception")
    make = need(f"{_FROM}.feature_extractor_inceptionv3", "FeatureExtractorInceptionV3")
    resize = need(f"{_FROM}.interpolate_compat_tensorflow", _RESIZE)
    path = None if weights is None else _checked(Path(weights))
    try:
        network = make("counterplay", ["2048"], feature_extractor_weights_path=path)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"The weights of Inception-v3 could not be read from "
            f"{path or 'the address that torch-fidelity knows'!r}: {first_line(error)} "
            "Give the file `weights-inception-2015-12-05-6726825d.pth`, which "
            "torch-fidelity's release 0.2.0 has, by `weights`."
        ) from error
    core = Inception(_frozen.fingerprint(network), network, resize)
    return preprocessed(core, quantise=quantise, from_range=from_range)


def _checked(path: Path) -> str:
    """The path as text, once the file is known to hold tensors and no code.

    Raises:
        DataError: If it does not.
    """
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} to read Inception-v3 from.")
    try:
        # torch-fidelity would run whatever code the file holds.
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no pickle can fail in any way
        raise DataError(
            f"{str(path)!r} holds no weights: {first_line(error)} Give the file that "
            "torch-fidelity's release 0.2.0 has."
        ) from error
    return str(path)


def _weight(network: Any) -> Tensor:
    return network.fc.weight
