"""The power spectra of real and generated images, as one figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from counterplay.report.drawing import (
    COLOURS,
    INK,
    legend,
    MARKERS,
    panels,
)


Profiles = Mapping[str, Mapping[str, Sequence[float]]]  # source -> mean, std -> decibels


def spectrum_profiles(seeds: Sequence[Profiles]) -> Figure:
    """Power at every radius, averaged over seeds, and how far above real images it is.

    A band is one standard deviation of single images.

    Args:
        seeds: The contents of `profiles_<seed>.json`, with the same sources.
    """
    figure, (power, excess) = panels(2, height=3.0, columns=2)
    real, _ = _over_seeds(seeds, "real")
    fakes = [name for name in seeds[0] if name != "real"]
    styles = zip(["real", *fakes], [INK, *COLOURS * 2], ["o", *MARKERS * 2], strict=False)
    for name, colour, marker in styles:
        mean, std = _over_seeds(seeds, name)
        radius = np.arange(len(mean))
        style = {
            "color": colour,
            "marker": marker,
            "markersize": 2.5,
            "linewidth": 2.2 if name == "real" else 1.1,
        }
        power.fill_between(
            radius, mean - std, mean + std, color=colour, alpha=0.08, linewidth=0
        )
        power.plot(radius, mean, label=name, **style)
        excess.plot(radius, mean - real, **style)
    for ax in (power, excess):
        ax.set_xlabel("radius, in cycles per image")
    power.set_ylabel("mean power, in dB")
    excess.set_ylabel("above real images, in dB")
    legend(power, n=3)
    return figure


def _over_seeds(seeds: Sequence[Profiles], name: str) -> tuple[np.ndarray, np.ndarray]:
    mean, std = (
        np.mean([one[name][what] for one in seeds], axis=0) for what in ("mean", "std")
    )
    return mean, std
