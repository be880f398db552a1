"""What feature maps share."""

import copy

import pytest
import torch
from torch import nn

from counterplay.errors import DataError
from counterplay.features._frozen import fingerprint, frozen, rows


def test_a_frozen_network_shares_nothing_with_its_model():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    copied = frozen(model)
    x = torch.randn(5, 3)
    before = copied(x)
    model(x)  # moves the model's running statistics
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(copied(x), before)
    assert not copied.training
    assert model.training


def test_the_fingerprint_follows_the_weights():
    a = nn.Linear(3, 4)
    b, c = copy.deepcopy(a), copy.deepcopy(a)
    with torch.no_grad():
        c.bias[0] += 1e-6
    prints = [fingerprint(module) for module in (a, b, c)]
    assert prints[0] == prints[1] != prints[2]
    assert fingerprint(a.double()) != prints[0]


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (Pair(), r"gives tuple for 5 instances of shape \(3,\)"),
        (nn.Flatten(0), r"gives \(15,\) for 5 instances"),
    ],
)
def test_an_output_that_is_not_one_row_per_instance_is_refused(module, text):
    with pytest.raises(DataError, match=text):
        rows(module, torch.zeros(5, 3))
