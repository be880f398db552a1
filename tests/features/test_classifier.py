"""The trained feature classifier."""

import warnings

import pytest
import torch
from sklearn.datasets import load_digits

from counterplay import features
from counterplay.errors import DataError
from counterplay.game import Columns


def columns(x, y=None, kind="row"):
    tensors = {"x": x} if y is None else {"x": x, "y": y}
    return Columns(tensors, tuple(map(str, range(len(x)))), kind)


def clouds(n=200, shape=(2,), n_classes=3):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % n_classes
    return columns(
        torch.randn(n, *shape, generator=generator) + 4 * y.view(-1, *[1] * len(shape)), y
    )


@pytest.fixture(scope="module")
def digits():
    loaded = load_digits()
    x = torch.tensor(loaded.images, dtype=torch.float32)[:, None] / 8 - 1
    return columns(x, torch.tensor(loaded.target), "image")


@pytest.fixture(scope="module")
def phi():
    return features.classifier(clouds(), n_features=6, n_steps=60)


def test_digits_are_told_apart_and_features_vary(digits):
    phi = features.classifier(digits.select(range(1_000)))
    unseen = digits.select(range(1_000, 1_797))
    assert phi.accuracy > 0.95
    assert (phi.logits(unseen["x"]).argmax(1) == unseen["y"]).double().mean() > 0.9
    assert phi(unseen["x"]).shape == (797, phi.n_features)
    assert phi(unseen["x"]).std(0).min() > 0.01


def test_float64_data_have_float64_features_of_the_same_classifier(phi, tmp_path):
    data = clouds().to(dtype=torch.float64)
    wide = features.classifier(data, n_features=6, n_steps=60)
    assert wide.accuracy == phi.accuracy
    assert wide(data["x"]).dtype == torch.float64
    for one, other in zip(phi.network.parameters(), wide.network.parameters(), strict=True):
        assert torch.equal(one.double(), other)
    wide.save(tmp_path / "wide.safetensors")
    kept = features.saved(tmp_path / "wide.safetensors")
    assert torch.equal(kept(data["x"]), wide(data["x"]))


@pytest.mark.parametrize(
    "shape", [(5,), (3, 4), (1, 8, 8), (3, 9, 12), (3, 20, 20), (1, 4, 4)], ids=str
)
def test_instances_of_any_shape_have_smooth_features(shape):
    phi = features.classifier(clouds(100, shape), n_features=6, n_steps=200, batch_size=16)
    assert phi.accuracy > 0.8
    x = clouds(4, shape)["x"].requires_grad_()
    rows = phi(x)
    assert rows.shape == (4, 6)
    assert ((rows >= 0) & (rows <= 1)).all()
    assert torch.autograd.grad(rows.sum(), x)[0].any()
    assert phi.logits(x).shape == (4, 3)


def test_gradients_are_finite_differences(phi):
    doubled = features.from_module(phi.network, "doubled")
    doubled.module.double()
    assert torch.autograd.gradcheck(doubled, clouds(3)["x"].double().requires_grad_())


def test_training_repeats_and_leaves_the_global_generator_alone(phi):
    before = torch.get_rng_state()
    with torch.no_grad():
        again = features.classifier(clouds(), n_features=6, n_steps=60)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.fingerprint == phi.fingerprint
    other = features.classifier(clouds(), n_features=6, n_steps=60, seed=1)
    assert other.fingerprint != phi.fingerprint
    assert not any(p.requires_grad for p in again.network.parameters())


def test_a_constant_column_does_no_harm():
    data = clouds()
    x = torch.cat([data["x"], torch.ones(len(data), 1)], dim=1)
    phi = features.classifier(columns(x, data["y"]), n_features=6, n_steps=150)
    assert phi.accuracy > 0.9
    assert torch.isfinite(phi(x)).all()


def test_labels_may_be_any_integers():
    data = clouds()
    phi = features.classifier(columns(data["x"], 10 * data["y"] - 7), n_steps=60)
    assert phi.n_classes == 3
    assert phi.accuracy > 0.9


def test_instances_without_a_label_are_left_out():
    data = clouds()
    y = data["y"].clone()
    y[100:] = -1
    half = features.classifier(columns(data["x"], y), n_steps=20)
    alone = features.classifier(data.select(range(100)), n_steps=20)
    assert half.fingerprint == alone.fingerprint
    assert half.trained_on == alone.trained_on == data.ids[:100]


def test_labels_that_mean_nothing_are_warned_of():
    data = clouds(100)
    y = torch.randint(0, 2, (100,), generator=torch.Generator().manual_seed(1))
    with pytest.warns(
        UserWarning, match=r"'classifier' gets \d+% of 20 held-out .* commonest"
    ):
        features.classifier(columns(data["x"], y), n_steps=5)


def test_a_good_classifier_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features.classifier(clouds(), n_steps=60)


def test_data_without_useful_labels_are_refused():
    x = torch.randn(10, 2)
    with pytest.raises(DataError, match=r"no column 'y' in \['x'\]"):
        features.classifier(columns(x))
    with pytest.raises(DataError, match=r"'y' is torch\.float32 of shape"):
        features.classifier(columns(x, torch.zeros(10)))
    with pytest.raises(DataError, match="'y' has 1 classes in 10 labelled instances"):
        features.classifier(columns(x, torch.zeros(10, dtype=torch.int64)))
