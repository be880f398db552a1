"""Channels in [-1, 1], by what the training series were and nothing else."""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from counterplay.errors import ConfigError


Values = NDArray[np.float64]
Scaling = dict[str, Values]  # plain arrays, which a model folder can hold


def scaling(values: Values, n_components: int | None = None) -> Scaling:
    """What takes training series to [-1, 1], and a constant channel to 0.

    Args:
        values: The training series, `(n, d)`.
        n_components: Principal components to read in place of the channels, if any; these
            are brought to [-1, 1] too.

    Returns:
        Middle and half range of the channels; with components also the principal axes, one
        per row, and middle and half range along them.

    Raises:
        ConfigError: If more components are asked for than there can be.
    """
    centre, half = _range(values)
    if n_components is None:
        return {"centre": centre, "half": half}
    if not 1 <= n_components <= min(values.shape):
        raise ConfigError(
            f"`pca` must be None or between 1 and {min(values.shape)}, since there are "
            f"{values.shape[1]} channels and {len(values)} rows, got {n_components!r}."
        )
    inside = (values - centre) / half
    pca = PCA(n_components, svd_solver="full").fit(inside)
    axes = np.asarray(pca.components_)
    along_centre, along_half = _range(inside @ axes.T)
    return {
        "centre": centre,
        "half": half,
        "axes": axes,
        "along_centre": along_centre,
        "along_half": along_half,
    }


def scaled(scaling: Scaling, values: Values) -> Values:
    """What networks read; outside [-1, 1] where it is outside what was seen."""
    inside = (values - scaling["centre"]) / scaling["half"]
    if "axes" not in scaling:
        return inside
    return (inside @ scaling["axes"].T - scaling["along_centre"]) / scaling["along_half"]


def of_channels(scaling: Scaling, errors: Values) -> Values:
    """What differences of read values mean for the scaled channels."""
    return (
        (errors * scaling["along_half"]) @ scaling["axes"] if "axes" in scaling else errors
    )


def _range(values: Values) -> tuple[Values, Values]:
    low, high = values.min(0), values.max(0)
    half = (high - low) / 2
    return low + half, np.where(half > 0, half, 1.0)
