"""Sides of square images that networks of doublings reach."""

from counterplay.errors import ConfigError


def pyramid(image_size: int) -> tuple[int, int]:
    """The smallest side and how often it doubles, at least twice, up to `image_size`.

    Raises:
        ConfigError: If the side is not 2, 4 or 7 doubled a few times.
    """
    power = image_size & -image_size  # the largest power of two in it
    if image_size >= 8 and image_size in (power, 7 * power):
        base = 7 if image_size == 7 * power else 2 if image_size == 8 else 4
        doublings = (image_size // base).bit_length() - 1
        if doublings > 1:
            return base, doublings
    raise ConfigError(
        "`image_size` must be a power of two from 8, or 7 times a power of two from 28, "
        f"got {image_size}. Resize the images, to {_nearest(image_size)} for instance."
    )


def _nearest(image_size: int) -> int:
    sizes = [8, 16, 28, 32, 56, 64, 112, 128, 224, 256, 512, 1024]
    return min(sizes, key=lambda size: abs(size - image_size))
