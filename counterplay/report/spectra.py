"""The power spectra of real and generated images, as one figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterplay.report.figures import (
    _legend,  # pyright: ignore[reportPrivateUsage]
    _panels,  # pyright: ignore[reportPrivateUsage]
    COLOURS,
    INK,
    MARKERS,
)


Profiles = Mapping[str, Mapping[str, Sequence[float]]]  # source -> mean, std -> decibels


def spectrum_profiles(seeds: Sequence[Profiles]) -> Figure:
    """Power at every radius, real and of each generator, averaged over seeds.

    A band is one standard deviation of the single images.

    Args:
        seeds: The contents of `profiles_<seed>.json`, with the same sources.
    """
    figure, (ax,) = _panels(1, height=3.2)
    sources = [name for name in seeds[0] if name != "real"]
    _profile(ax, seeds, "real", INK, "o")
    for name, colour, marker in zip(sources, COLOURS * 2, MARKERS * 2, strict=False):
        _profile(ax, seeds, name, colour, marker)
    ax.set_xlabel("radius, in cycles per image")
    ax.set_ylabel("mean power, in dB")
    _legend(ax, n=5)
    return figure


def _profile(
    ax: Axes, seeds: Sequence[Profiles], name: str, colour: str, marker: str
) -> None:
    mean, std = (
        np.mean([one[name][what] for one in seeds], axis=0) for what in ("mean", "std")
    )
    radius, real = np.arange(len(mean)), name == "real"
    ax.fill_between(radius, mean - std, mean + std, color=colour, alpha=0.1, linewidth=0)
    ax.plot(
        radius, mean, color=colour, marker=marker, markersize=3, label=name,
        linewidth=2.4 if real else 1.2,
    )  # fmt: skip
