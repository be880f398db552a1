"""The last layers of an image generator: what doubles the side and writes the channels.

What fills the new pixels decides which high frequencies come by themselves. Zeros, which a
transposed convolution inserts, repeat the whole spectrum of the input there; nearest and
bilinear upsampling weaken those copies.

Source: Chandrasegaran, Tran and Cheung 2021, arXiv 2103.17195, whose names the variants
bear.
"""

from itertools import product

from jaxtyping import Float
from torch import nn, Tensor
from torch.nn import functional

from counterplay.errors import ConfigError


Images = Float[Tensor, "batch c h w"]
Doubled = Float[Tensor, "batch c 2*h 2*w"]


def zero_insertion(x: Images) -> Doubled:
    """Twice the side: values at even rows and columns, zeros elsewhere."""
    h, w = x.shape[2:]
    cells = x.reshape(*x.shape[:3], 1, w, 1)
    cells = functional.pad(cells, (0, 1, 0, 0, 0, 1))  # -> (batch, c, h, 2, w, 2)
    return cells.reshape(*x.shape[:2], 2 * h, 2 * w)


def nearest(x: Images) -> Doubled:
    """Twice the side: every value four times."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def bilinear(x: Images) -> Doubled:
    """Twice the side: linear between values, the corners where they were."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


def last_layer(name: str, c_in: int, channels: int) -> list[nn.Module]:
    """The layers called `name`, from `(batch, c_in, h, w)` to twice the side.

    `"baseline"` is a transposed convolution of 4 x 4 with stride 2. `"X.1.z"` doubles the
    side by X, which is Z for zero insertion, N for nearest or B for bilinear, and convolves
    once with z x z, z being 3, 5 or 7; `"X.3.5"` convolves three times with 5 x 5, with
    nothing in between.

    Args:
        name: One of `NAMES`.
        c_in: Channels of the last hidden layer.
        channels: Channels of the image.

    Returns:
        The layers, in order; none has a nonlinearity.

    Raises:
        ConfigError: If there are no such layers.

    Example:
        >>> [type(layer).__name__ for layer in last_layer("N.1.5", 8, 1)]
        ['Upsampling', 'Conv2d']
    """
    if name not in NAMES:
        raise ConfigError(f"There is no last layer {name!r}; there are {list(NAMES)}.")
    if name == "baseline":
        return [nn.ConvTranspose2d(c_in, channels, 4, stride=2, padding=1)]
    kind, depth, size = name.split(".")
    out = [c_in] * (int(depth) - 1) + [channels]
    convolutions = [nn.Conv2d(c_in, c, int(size), padding=int(size) // 2) for c in out]
    return [Upsampling(kind), *convolutions]


class Upsampling(nn.Module):
    """Doubles the side of images, by `"Z"`, `"N"` or `"B"`."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def forward(self, x: Images) -> Doubled:
        """The images at twice the side."""
        return _KINDS[self.kind](x)

    def extra_repr(self) -> str:
        """The kind, for printed networks."""
        return repr(self.kind)


_KINDS = {"Z": zero_insertion, "N": nearest, "B": bilinear}
NAMES = ("baseline", *(".".join(n) for n in product(_KINDS, ("1.3", "1.5", "1.7", "3.5"))))
