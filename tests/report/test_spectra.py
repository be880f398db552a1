import numpy as np

from counterplay.report.spectra import spectrum_profiles


def test_profiles_are_averaged_over_seeds_and_compared_with_real_images():
    std = [1.0, 1.0, 1.0]
    seeds = [
        {
            "real": {"mean": [0.0, -3.0, -6.0], "std": std},
            "N.1.5": {"mean": [0.0, low, -9.0], "std": std},
        }
        for low in (-2.0, -4.0)
    ]
    figure = spectrum_profiles(seeds)
    power, excess = figure.axes
    assert [line.get_label() for line in power.lines] == ["real", "N.1.5"]
    assert [np.asarray(line.get_ydata()).tolist() for line in power.lines] == [
        [0, -3, -6],
        [0, -3, -9],
    ]
    assert [np.asarray(line.get_ydata()).tolist() for line in excess.lines] == [
        [0, 0, 0],
        [0, 0, -3],
    ]
    assert power.lines[0].get_linewidth() > power.lines[1].get_linewidth()
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
