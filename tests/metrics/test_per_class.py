"""The table of classes: its mean is the metric, and it says what not to trust."""

import torch

from counterplay.metrics import Classified
from counterplay.metrics._classes import class_moments
from counterplay.metrics.class_aware import class_aware_frechet
from counterplay.metrics.per_class import per_class


CLASSES = torch.arange(80) % 4


def rows(shift=(0.0, 0.0, 0.0, 0.0), seed=0, classes=CLASSES):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(len(classes), 3, generator=random, dtype=torch.float64)
    x = x + torch.tensor(shift, dtype=torch.float64)[classes][:, None]
    return Classified(x, 20 * torch.eye(4, dtype=torch.float64)[classes])


def test_the_mean_of_the_table_is_the_metric():
    real, fake = rows(), rows((0, 1, 2, 0), seed=1)
    table = per_class(real, fake)
    torch.testing.assert_close(table.distance.mean(), class_aware_frechet(real, fake))
    prepared = per_class(class_moments(real), fake)
    torch.testing.assert_close(prepared.distance, table.distance)


def test_the_worst_classes_come_first():
    table = per_class(rows(), rows((0, 3, 6, 0), seed=1))
    assert table.worst(2) == [2, 1]
    assert len(table.worst()) == 3


def test_proportions_and_effective_rows_are_those_of_the_classes():
    few = torch.cat([CLASSES[:40], torch.zeros(40, dtype=torch.int64)])
    table = per_class(rows(), rows(classes=few))
    torch.testing.assert_close(table.real_proportion, torch.full((4,), 0.25).double())
    torch.testing.assert_close(
        table.fake_proportion, torch.tensor([50, 10, 10, 10]).double() / 80
    )
    torch.testing.assert_close(table.real_effective, torch.full((4,), 20.0).double())
    torch.testing.assert_close(table.fake_effective[1:], torch.full((3,), 10.0).double())


def test_a_class_with_little_mass_on_either_side_is_unreliable():
    few = torch.cat([torch.tensor([0] * 5), torch.arange(75) % 3 + 1])
    assert per_class(rows(), rows(classes=few)).unreliable.tolist() == [True] + 3 * [False]
    assert per_class(rows(classes=few), rows()).unreliable.tolist() == [True] + 3 * [False]
    assert not per_class(rows(), rows(classes=few), least=4.9).unreliable.any()


def test_the_table_holds_constants():
    fake = rows(seed=1)
    fake.features.requires_grad_()
    assert not per_class(rows(), fake).distance.requires_grad
