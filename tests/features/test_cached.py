"""Features kept on disk."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from counterplay import features
from counterplay._tensor_files import write_tensors
from counterplay.errors import DataError, RunError
from counterplay.game import Columns


class Counting(nn.Module):
    """Counts the rows it computes."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.rows = []

    def forward(self, x):
        self.rows.append(len(x))
        return x.flatten(1) * self.factor


def counting(factor=2.0, name="counting"):
    phi = features.from_module(Counting(factor), name)
    return phi, phi.module.rows


@pytest.fixture
def data():
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    return Columns({"x": x}, tuple(map(str, range(300))))


def test_reference_features_are_computed_once_for_all_processes(data, tmp_path):
    phi, rows = counting()
    first = features.cached(phi, tmp_path / "kept", data)
    for part in data["x"].split(100):
        assert torch.equal(first(part), 2 * part)
    assert rows == [256, 44]
    again = features.cached(phi, tmp_path / "kept", data["x"].clone())
    assert torch.equal(again(data["x"].flip(0)), 2 * data["x"].flip(0))
    assert rows == [256, 44]
    assert (again.name, again.fingerprint) == (phi.name, phi.fingerprint)


def test_what_is_generated_is_computed_and_leaves_no_file(data, tmp_path):
    phi, rows = counting()
    kept = features.cached(phi, tmp_path, data)
    fake = torch.randn(7, 4)
    assert torch.equal(kept(fake), 2 * fake)
    half = torch.cat([data["x"][:2], fake])  # as soon as one is unknown, all are computed
    assert torch.equal(kept(half), 2 * half)
    assert rows == [7, 9]
    assert not list(tmp_path.iterdir())


def test_a_gradient_goes_to_the_map(data, tmp_path):
    phi, rows = counting()
    kept = features.cached(phi, tmp_path, data)
    kept(data["x"])
    x = data["x"].clone().requires_grad_()
    assert torch.autograd.grad(kept(x).sum(), x)[0].eq(2).all()
    with torch.no_grad():
        kept(x)
    assert rows == [256, 44, 300]


def test_whatever_changes_the_features_has_a_file_of_its_own(data, tmp_path):
    other = data["x"].clone()
    other[5, 2] += 1e-6
    maps = [
        features.cached(counting()[0], tmp_path, data),
        features.cached(counting(2.000001)[0], tmp_path, data),
        features.cached(counting(name="other")[0], tmp_path, data),
        features.cached(counting()[0], tmp_path, other),
        features.cached(counting()[0], tmp_path, data["x"].double()),
        features.cached(counting()[0], tmp_path, data["x"].reshape(-1, 2, 2)),
        features.cached(counting()[0], tmp_path, data["x"][:-1]),
    ]
    paths = {phi.path("features", 0) for phi in maps} | {maps[0].path("logits", 0)}
    assert len(paths) == len(maps) + 1
    pixels = torch.rand(3, 1, 4, 4)
    for options in ({}, {"quantise": True}, {"from_range": (0, 1)}):
        phi = features.preprocessed(counting()[0], **options)
        paths.add(features.cached(phi, tmp_path, pixels).path("features", 0))
    assert len(paths) == len(maps) + 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x55"),
        lambda path: write_tensors(path, "features.cached", {}, {}),
    ],
    ids=["truncated", "empty", "flipped", "other"],
)
def test_a_damaged_file_is_computed_again(data, tmp_path, damage):
    phi, rows = counting()
    features.cached(phi, tmp_path, data)(data["x"])
    (path,) = tmp_path.iterdir()
    intact = path.read_bytes()
    damage(path)
    assert torch.equal(features.cached(phi, tmp_path, data)(data["x"]), 2 * data["x"])
    assert rows == [256, 44] * 2
    assert path.read_bytes() == intact


def test_logits_and_where_a_map_was_trained_pass_through(tmp_path):
    y = torch.arange(100) % 2
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) + 4 * y[:, None]
    data = Columns({"x": x, "y": y}, tuple(map(str, range(100))))
    phi = features.classifier(data, n_steps=100, n_features=3)
    kept = features.cached(phi, tmp_path, data)
    with torch.no_grad():
        assert torch.equal(kept(x), phi(x))
        assert torch.equal(kept.logits(x), phi.logits(x))
    assert len(list(tmp_path.iterdir())) == 2
    assert (kept.trained_on, kept.n_features) == (data.ids, 3)
    assert features.cached(features.identity(), tmp_path, data).logits is None


def test_several_references_may_be_asked_for_together(data, tmp_path):
    phi, rows = counting()
    valid, test = data.select(range(100)), data.select(range(100, 300))
    kept = features.cached(phi, tmp_path, valid, test)
    assert torch.equal(kept(data["x"]), 2 * data["x"])
    assert rows == [100, 200]


def test_a_folder_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    kept = features.cached(counting()[0], tmp_path / "file", data)
    with pytest.raises(RunError, match="cannot be created"):
        kept(data["x"])


def test_nothing_to_keep_or_nothing_to_tell_it_apart_by_is_refused(data, tmp_path):
    phi = counting()[0]
    with pytest.raises(DataError, match="nothing whose features could be kept"):
        features.cached(phi, tmp_path)
    with pytest.raises(DataError, match="'counting' has no `fingerprint`"):
        features.cached(replace(phi, fingerprint=""), tmp_path, data)
