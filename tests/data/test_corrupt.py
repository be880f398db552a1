import pytest
import torch

from counterplay.data.corrupt import corrupt, without_class
from counterplay.errors import ConfigError, DataError
from counterplay.game import Columns


def _points(n=100, prefix="i"):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Columns(
        {"x": x, "y": torch.arange(n) % 5}, tuple(f"{prefix}{i}" for i in range(n)), "point"
    )


def _images(n=100):
    x = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Columns(
        {"x": x, "y": torch.arange(n) % 5}, tuple(f"i{i}" for i in range(n)), "image"
    )


@pytest.mark.parametrize("kind", ["noise", "duplicate", "inverted"])
@pytest.mark.parametrize("clean", [_points(), _images()], ids=["points", "images"])
def test_only_planted_instances_change(kind, clean):
    before = clean.fingerprint
    dirty, planted = corrupt(clean, kind=kind, fraction=0.1, seed=1)
    assert planted.sum() == 10
    assert torch.equal(dirty["x"][~planted], clean["x"][~planted])
    assert (dirty["x"] != clean["x"]).flatten(1).any(1).equal(planted)
    assert torch.equal(dirty["y"], clean["y"])
    assert [a.split("#")[0] for a in dirty.ids] == list(clean.ids)
    assert dirty["x"].dtype == clean["x"].dtype
    assert Columns(clean.tensors, clean.ids, clean.kind).fingerprint == before


def test_the_seed_decides():
    one, other = (corrupt(_points(), kind="noise", fraction=0.1, seed=s)[1] for s in (0, 1))
    assert not torch.equal(one, other)
    again = corrupt(_points(), kind="noise", fraction=0.1, seed=1)[1]
    assert torch.equal(again, other)


def test_noise_images_stay_in_the_range_of_the_data():
    clean = _images()
    dirty, planted = corrupt(clean, kind="noise", fraction=0.5)
    noise = dirty["x"][planted]
    assert noise.min() >= clean["x"].min()
    assert noise.max() <= clean["x"].max()
    assert abs(noise.mean()) < 0.1


def test_noise_points_fill_the_doubled_box():
    clean = _points()
    dirty, planted = corrupt(clean, kind="noise", fraction=0.9)
    low, high = clean["x"].amin(0), clean["x"].amax(0)
    noise = (dirty["x"][planted] - (low + high) / 2) / (
        high - low
    )  # the box is 0.5 each way
    assert 0.85 < noise.abs().max() <= 1


def test_inverted_images_are_negatives():
    clean = _images()
    dirty, planted = corrupt(clean, kind="inverted", fraction=0.1)
    assert torch.equal(dirty["x"][planted], -clean["x"][planted])


def test_inverted_points_lie_outside_the_box():
    clean = _points()
    dirty, planted = corrupt(clean, kind="inverted", fraction=0.1)
    assert (dirty["x"][planted] >= clean["x"].amax(0)).all()


def test_duplicates_copy_few_clean_instances():
    clean = _points()
    dirty, planted = corrupt(clean, kind="duplicate", fraction=0.1, n_prototypes=3)
    rows = dict(zip(clean.ids, clean["x"], strict=True))
    sources = set()
    for row in planted.nonzero().squeeze(1).tolist():
        source = dirty.ids[row].split("#")[1]
        sources.add(source)
        assert torch.equal(dirty["x"][row], rows[source])
        assert not planted[clean.ids.index(source)]
    assert len(sources) == 3


def test_a_foreign_class_is_removed_and_planted():
    clean = _points()
    dirty, planted = corrupt(clean, kind="foreign", foreign_class=4, fraction=0.1)
    assert len(dirty) == 80
    assert planted.sum() == 8
    assert dirty["y"].unique().tolist() == [0, 1, 2, 3]
    foreigners = clean["x"][clean["y"] == 4]
    is_foreign = (dirty["x"][:, None] == foreigners).all(2).any(1)
    assert torch.equal(is_foreign, planted)
    assert len(set(dirty.ids)) == 80


def test_foreign_instances_of_another_set_are_planted():
    foreign = _points(30, prefix="f").to(dtype=torch.float32)
    dirty, planted = corrupt(_points(), kind="foreign", foreign=foreign, fraction=0.2)
    assert len(dirty) == 100
    row = int(planted.nonzero()[0])
    source = dirty.ids[row].split("#")[1]
    assert torch.equal(dirty["x"][row], foreign["x"][foreign.ids.index(source)].double())


def test_without_class_leaves_the_others():
    assert without_class(_points(), 4)["y"].unique().tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match="Every instance has the label 0"):
        without_class(_points(1), 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"kind": "blur"},
            ConfigError,
            r"no corruption 'blur'; there are \['noise', 'foreign'",
        ),
        ({"kind": "foreign"}, ConfigError, "needs either `foreign` or `foreign_class`"),
        (
            {"kind": "noise", "foreign_class": 1},
            ConfigError,
            "belong to 'foreign', not 'noise'",
        ),
        (
            {"kind": "foreign", "foreign_class": 7},
            DataError,
            r"No instance has the label 7; .*\[0, 1",
        ),
        (
            {"kind": "foreign", "foreign": _images()},
            DataError,
            r"shape \(1, 4, 4\), the others \(2,\)",
        ),
        (
            {"kind": "foreign", "foreign": _points(3)},
            DataError,
            "10 different instances are needed",
        ),
        (
            {"kind": "duplicate", "n_prototypes": 91},
            DataError,
            "but there are 90 to take from",
        ),
        (
            {"kind": "noise", "fraction": 0.001},
            DataError,
            "0.001 of 100 instances plants 0",
        ),
        ({"kind": "noise", "fraction": 1.0}, DataError, "1.0 of 100 instances plants 100"),
    ],
)
def test_what_cannot_be_planted_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        corrupt(_points(), **{"fraction": 0.1, **options})
