import pytest
import torch
from torch import nn

from counterplay.errors import ConfigError
from counterplay.nets.norms import norm, without_batch_norm


@pytest.mark.parametrize(
    ("channels", "n_groups"), [(64, 8), (32, 8), (24, 2), (16, 4), (8, 2), (5, 1), (1, 1)]
)
def test_groups_have_at_least_four_channels(channels, n_groups):
    layer = norm("group", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == n_groups


def test_norms_by_name():
    layer = norm("layer", 8)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == 1
    assert isinstance(norm("batch", 8), nn.BatchNorm2d)
    assert isinstance(norm("none", 8), nn.Identity)
    with pytest.raises(
        ConfigError, match=r"no norm 'instance'; there are \['group', 'layer'"
    ):
        norm("instance", 8)


def test_batch_norm_is_replaced_at_any_depth_in_a_copy():
    inner = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
    network = nn.Sequential(inner, nn.Flatten(), nn.LazyLinear(4), nn.BatchNorm1d(4))
    network(torch.randn(2, 1, 5, 5))
    twin = without_batch_norm(network)
    assert isinstance(inner[1], nn.BatchNorm2d)
    assert not [m for m in twin.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    x = torch.randn(3, 1, 5, 5)
    torch.testing.assert_close(twin(x)[:1], twin(x[:1]))
    assert twin(x).std() > 0.1  # a group of one number would be normalised to zero


def test_scale_and_shift_are_kept():
    layer = nn.BatchNorm2d(8).eval()
    nn.init.constant_(layer.weight, 3.0)
    twin = without_batch_norm(layer)
    assert isinstance(twin, nn.GroupNorm)
    assert torch.equal(twin.weight, layer.weight)
    assert twin.weight is not layer.weight
    assert not twin.training
    plain = without_batch_norm(nn.BatchNorm2d(8, affine=False))
    assert not list(plain.parameters())
