"""What trained maps share: training, saving, and refusing other instances."""

import pytest
import torch

from counterplay import features
from counterplay.errors import ConfigError, DataError
from counterplay.features._network import SmoothNetwork
from counterplay.features._trained import divided, train
from counterplay.game import Columns


def columns(n=100, shape=(3,)):
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))
    return Columns(
        {"x": x, "y": (x.reshape(n, -1)[:, 0] > 0).long()}, tuple(map(str, range(n)))
    )


MAKERS = pytest.mark.parametrize(
    "make",
    [
        lambda data: features.classifier(data, n_features=4, n_steps=40),
        lambda data: features.autoencoder(data, n_features=4, n_steps=60),
    ],
    ids=["classifier", "autoencoder"],
)


@MAKERS
def test_what_was_saved_comes_back_and_nothing_else_is_left(make, tmp_path):
    data, path = columns(), tmp_path / "new" / "map.safetensors"
    phi = make(data)
    phi.save(path)
    phi.save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    before = torch.get_rng_state()
    back = features.saved(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(back(data["x"]), phi(data["x"]))
    assert torch.equal(back.network(data["x"]), phi.network(data["x"]))
    assert repr(back) == repr(phi)
    assert back.trained_on == data.ids
    assert not any(p.requires_grad for p in back.network.parameters())


@MAKERS
def test_instances_of_another_shape_are_refused(make):
    with pytest.raises(DataError, match=r"shape \(3,\), but is given \(4,\)"):
        make(columns())(torch.zeros(5, 4))


@MAKERS
def test_one_instance_is_too_few(make):
    with pytest.raises(DataError, match=r"1 (labelled )?instances.* at least 2"):
        make(columns().select([0]))


@MAKERS
def test_instances_that_are_bare_numbers_are_refused(make):
    with pytest.raises(DataError, match=r"'x' has shape \(100,\).* Use `x\[:, None\]`"):
        make(columns(shape=()))


@pytest.mark.parametrize("make", [features.classifier, features.autoencoder])
@pytest.mark.parametrize("option", ["n_features", "n_steps", "batch_size", "lr"])
def test_options_that_learn_nothing_are_refused(make, option):
    with pytest.raises(ConfigError, match=f"`{option}` must be above 0, got 0"):
        make(columns(), **{option: 0})


def test_a_fifth_is_held_out_by_the_seed():
    judged, learnt = divided(torch.zeros(50, 2), 3, "test")
    assert len(judged) == 10
    assert sorted([*judged.tolist(), *learnt.tolist()]) == list(range(50))
    assert torch.equal(divided(torch.zeros(50, 2), 3, "test")[0], judged)
    assert not torch.equal(divided(torch.zeros(50, 2), 4, "test")[0], judged)


def test_every_epoch_sees_every_instance_once():
    network, seen = SmoothNetwork((2,), 2, 2), []

    def loss(index):
        seen.extend(index.tolist())
        return network(torch.zeros(1, 2)).sum()

    train(network, loss, 12, purpose="test", n_steps=6, batch_size=4, lr=1e-3, seed=0)
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]
