"""Classifiers of images whose channels are images themselves."""

import pytest
import torch

from counterplay import data
from counterplay.errors import DataError
from counterplay.features.stacked_classifier import stacked_classifier, unstacked
from counterplay.game import Columns
from counterplay.metrics.stacked_modes import stacked_modes_covered


def stacked(n=300, seed=0):
    """Three of scikit-learn's digits in the channels of each image."""
    digits = data.digits().valid
    rows = torch.randint(len(digits), (n, 3), generator=torch.Generator().manual_seed(seed))
    y = digits["y"][rows] @ torch.tensor([100, 10, 1])
    x = digits["x"][rows].squeeze(2)
    return Columns({"x": x, "y": y}, tuple(f"{i}" for i in range(n)))


def test_channels_are_single_digits_with_their_labels():
    images = stacked(40)
    digits = unstacked(images)
    assert digits["x"].shape == (120, 1, 8, 8)
    assert torch.equal(digits["x"][4, 0], images["x"][1, 1])
    labels = "".join(f"{int(y):03d}" for y in images["y"])
    assert "".join(str(int(y)) for y in digits["y"]) == labels
    assert len(set(digits.ids)) == 120


def test_its_logits_count_the_modes():
    images = stacked()
    found = stacked_classifier(images, n_steps=300)
    assert found.name == "stacked_classifier"
    assert found.trained_on == images.ids
    assert found(images["x"]).shape == (300, 3 * 128)
    logits = found.logits(images["x"])
    guesses = logits.reshape(-1, 3, 10).argmax(2) @ torch.tensor([100, 10, 1])
    assert (guesses == images["y"]).double().mean() > 0.9
    assert abs(stacked_modes_covered(logits) - len(images["y"].unique())) < 20
    again = stacked_classifier(images, n_steps=300)
    assert again.fingerprint == found.fingerprint


def test_labels_that_do_not_fit_the_channels_are_refused():
    images = stacked(20)
    for y in (images["y"] + 1_000, images["y"] / 2):
        other = Columns({"x": images["x"], "y": y}, images.ids)
        with pytest.raises(DataError, match="one decimal digit for each of the 3 channels"):
            unstacked(other)
    with pytest.raises(DataError, match="needs labels"):
        unstacked(Columns({"x": images["x"]}, images.ids))
