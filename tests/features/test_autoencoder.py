"""The trained autoencoder."""

import math
import warnings

import pytest
import torch
from sklearn.datasets import load_digits

from counterplay import features
from counterplay.errors import DataError
from counterplay.features._trained import divided
from counterplay.game import Columns


def columns(x):
    return Columns({"x": x}, tuple(map(str, range(len(x)))))


def curve(n=200, shape=(4,)):
    """Instances on a smooth curve, which one number describes."""
    t = torch.rand(n, 1, generator=torch.Generator().manual_seed(0))
    waves = torch.arange(1, math.prod(shape) + 1) / math.prod(shape)
    return columns(torch.sin(6 * t * waves).reshape(n, *shape))


@pytest.fixture(scope="module")
def phi():
    return features.autoencoder(curve(), n_features=6, n_steps=150)


def test_digits_are_reconstructed_and_features_vary():
    x = torch.tensor(load_digits().images[:800], dtype=torch.float32)[:, None] / 8 - 1
    phi = features.autoencoder(columns(x[:600]), n_features=32, n_steps=120)
    assert phi.error < 0.5
    unseen = x[600:]
    with torch.no_grad():
        error = (phi.reconstructed(unseen) - unseen).square().mean()
    mean = (unseen - x[:600].mean(0)).square().mean()
    assert float(error / mean) == pytest.approx(phi.error, rel=0.15)  # other instances
    assert phi(unseen).shape == (200, 32)
    assert phi(unseen).std(0).min() > 0.01


@pytest.mark.parametrize("shape", [(5,), (3, 4), (3, 9, 12), (1, 20, 16)], ids=str)
def test_instances_of_any_shape_come_back_in_that_shape(shape):
    phi = features.autoencoder(curve(60, shape), n_features=5, n_steps=60, batch_size=16)
    x = curve(4, shape)["x"].requires_grad_()
    rows = phi(x)
    assert rows.shape == (4, 5)
    assert ((rows >= 0) & (rows <= 1)).all()
    assert torch.autograd.grad(rows.sum(), x)[0].any()
    assert phi.reconstructed(x).shape == x.shape
    assert phi.error < 1


def test_the_error_is_that_of_the_instances_held_out(phi):
    x = curve()["x"]
    judged, learnt = divided(x, 0, "autoencoder")
    scale = x[learnt].std(0, correction=0)
    errors = (phi.reconstructed(x) - x)[judged] / scale
    without = (x[judged] - x[learnt].mean(0)) / scale
    share = errors.square().mean() / without.square().mean()
    assert float(share) == pytest.approx(phi.error, rel=1e-4)
    assert phi.error < 0.2


def test_training_repeats_and_leaves_the_global_generator_alone(phi):
    before = torch.get_rng_state()
    with torch.no_grad():
        again = features.autoencoder(curve(), n_features=6, n_steps=150)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.fingerprint == phi.fingerprint
    assert again.error == phi.error
    other = features.autoencoder(curve(), n_features=6, n_steps=150, seed=1)
    assert other.fingerprint != phi.fingerprint


def test_float64_data_have_float64_features_of_the_same_autoencoder(phi):
    data = curve().to(dtype=torch.float64)
    wide = features.autoencoder(data, n_features=6, n_steps=150)
    assert wide.error == phi.error
    torch.testing.assert_close(wide(data["x"]), phi(data["x"].float()).double())
    assert (wide(data["x"]) - phi(data["x"].float())).any()  # less is rounded


def test_features_have_no_logits(phi):
    assert not hasattr(phi, "logits")


def test_hardly_having_learnt_is_warned_of():
    x = torch.randn(100, 40, generator=torch.Generator().manual_seed(0))
    with pytest.warns(
        UserWarning, match=r"'noise' reconstructs 20 held-out .* the mean instance gets"
    ):
        phi = features.autoencoder(columns(x), n_features=2, n_steps=5, name="noise")
    assert phi.error > 0.95


def test_a_good_autoencoder_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features.autoencoder(curve(), n_steps=60)


def test_instances_that_are_all_alike_are_refused():
    with pytest.raises(DataError, match="All 9 instances are alike"):
        features.autoencoder(columns(torch.ones(9, 3)))
