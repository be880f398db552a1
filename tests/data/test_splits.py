from dataclasses import replace

import pytest
import torch

from counterplay.data.splits import complete, Scaling, split, Splits
from counterplay.errors import DataError
from counterplay.game import Columns


def _columns(n, prefix="i", labels=None):
    tensors = {"x": torch.arange(float(n))[:, None]}
    if labels is not None:
        tensors["y"] = torch.as_tensor(labels)
    return Columns(tensors, tuple(f"{prefix}{i}" for i in range(n)))


def _ids(splits):
    return [set(part.ids) for part in (splits.train, splits.valid, splits.test)]


def test_parts_are_disjoint_and_cover_everything():
    train, valid, test = _ids(split(_columns(101), seed=3))
    assert (len(train), len(valid), len(test)) == (61, 20, 20)
    assert len(train | valid | test) == 101


def test_rows_keep_their_ids():
    for part in vars(split(_columns(30))).values():
        if isinstance(part, Columns):
            assert [f"i{int(value)}" for value in part["x"]] == list(part.ids)


def test_the_seed_decides():
    assert _ids(split(_columns(50), seed=1)) == _ids(split(_columns(50), seed=1))
    assert _ids(split(_columns(50), seed=1)) != _ids(split(_columns(50), seed=2))


def test_sizes_are_kept():
    splits = split(_columns(50), sizes=(10, 3, 2))
    assert [len(ids) for ids in _ids(splits)] == [10, 3, 2]


def test_stratified_parts_have_each_label_in_its_share():
    labels = [0] * 100 + [1] * 50 + [2] * 10
    splits = split(_columns(160, labels=labels), stratified=True)
    for part, share in ((splits.train, 0.6), (splits.valid, 0.2), (splits.test, 0.2)):
        counts = part["y"].bincount(minlength=3)
        assert (counts - share * torch.tensor([100, 50, 10])).abs().max() <= 1.5


def test_labels_with_one_instance_go_into_any_part():
    splits = split(_columns(300, labels=range(300)), stratified=True, sizes=(180, 60, 60))
    share_of_low_rows = (splits.train["y"] < 150).double().mean()
    assert 0.35 < share_of_low_rows < 0.65


def test_stratifying_needs_labels():
    with pytest.raises(DataError, match="no column 'y'"):
        split(_columns(9), stratified=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sizes": (30, 15, 10)},
            "There are 50 instances, but the split takes 55: 30 for train",
        ),
        ({"sizes": (30, 0, 10)}, "Every part needs at least one instance, .* 0 for valid"),
        ({"fractions": (0.99, 0.005, 0.005)}, "Every part needs at least one instance"),
        ({"fractions": (0.9, 0.2, 0.2)}, "`fractions` must be positive and at most 1"),
        ({"fractions": (1.2, -0.1, -0.1)}, "`fractions` must be positive and at most 1"),
        (
            {"fractions": (0.6, 0.2, 0.2), "sizes": (1, 1, 1)},
            "`fractions` or `sizes`, not both",
        ),
    ],
)
def test_impossible_parts_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        split(_columns(50), **options)


def test_an_instance_in_two_parts_is_refused():
    one = _columns(3)
    with pytest.raises(
        DataError, match="valid and test parts of 'd' share 3 instances, 'i0'"
    ):
        Splits(_columns(3, "t"), one, one, "d")
    with pytest.raises(DataError, match="train and valid parts"):
        replace(split(_columns(10)), train=_columns(10))


def test_an_id_given_twice_is_refused():
    twice = Columns({"x": torch.zeros(2, 1)}, ("a", "a"))
    with pytest.raises(DataError, match="train part of 'd' has the id 'a' more than once"):
        Splits(twice, _columns(1, "v"), _columns(1, "t"), "d")


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="test part of 'd' is empty"):
        Splits(_columns(1, "a"), _columns(1, "b"), _columns(0), "d")


def test_given_parts_are_kept_and_missing_ones_are_cut_from_train():
    splits = complete(_columns(100), test=_columns(40, "t"), name="d")
    assert [len(ids) for ids in _ids(splits)] == [80, 20, 40]
    assert splits.test.ids == _columns(40, "t").ids
    splits = complete(_columns(100), test=_columns(40, "t"), name="d", sizes=(30, 10, 5))
    assert [len(ids) for ids in _ids(splits)] == [30, 10, 5]
    assert set(splits.test.ids) < set(_columns(40, "t").ids)


def test_held_out_parts_do_not_depend_on_the_size_of_train():
    small = complete(_columns(100), name="d", sizes=(10, 20, 20))
    large = complete(_columns(100), name="d", sizes=(60, 20, 20))
    assert _ids(small)[1:] == _ids(large)[1:]


def test_too_few_instances_in_a_given_part_are_refused():
    with pytest.raises(
        DataError, match="There are 4 instances, but the split takes 5: 5 for test"
    ):
        complete(_columns(100), test=_columns(4, "t"), name="d", sizes=(None, None, 5))


def test_scaling_undoes_what_it_applies():
    scaling = Scaling(("a", "b"), torch.tensor([1.0, -2.0]), torch.tensor([0.5, 4.0]))
    values = torch.tensor([[3.0, 2.0], [1.0, -2.0]])
    assert scaling.apply(values).tolist() == [[4.0, 1.0], [0.0, 0.0]]
    assert torch.equal(scaling.undo(scaling.apply(values)), values)
