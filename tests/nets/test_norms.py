import pytest
import torch
from torch import nn

from counterplay.errors import ConfigError, GameError
from counterplay.nets.norms import norm, virtual_batch_norm, without_batch_norm


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


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def a_batch_norm(shape, *, affine):
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    layer = kind(shape[0], affine=affine).double()
    for param in layer.parameters():
        nn.init.normal_(param)
    return layer


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 2)])
@pytest.mark.parametrize("affine", [True, False])
def test_a_row_is_normalised_as_in_a_batch_of_the_reference_and_itself(shape, affine):
    layer, reference, x = (
        a_batch_norm(shape, affine=affine),
        drawn(6, *shape),
        drawn(4, *shape, seed=1),
    )
    found = virtual_batch_norm(layer, reference)(x)
    for i in range(4):
        among = torch.cat([reference, x[i : i + 1]])
        torch.testing.assert_close(found[i], layer(among)[-1])


def test_the_second_layer_reads_a_reference_normalised_by_itself():
    first, last = (a_batch_norm((3,), affine=True) for _ in range(2))
    network = nn.Sequential(first, nn.Tanh(), nn.Sequential(last)).eval()
    reference, x = drawn(6, 3), drawn(1, 3, seed=1)
    hidden = first.train()(reference).tanh()
    row = first(torch.cat([reference, x]))[-1:].tanh()
    expected = last.train()(torch.cat([hidden, row]))[-1:]
    virtual = virtual_batch_norm(network, reference)
    torch.testing.assert_close(virtual(x), expected)
    assert torch.equal(virtual.train()(x), virtual.eval()(x))


def test_rows_under_virtual_batch_norm_do_not_depend_on_each_other():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh()).double()
    virtual = virtual_batch_norm(network, drawn(6, 2))
    x = drawn(4, 2, seed=1)
    slopes = torch.func.jacrev(virtual)(x)
    for i in range(4):
        assert not slopes[i][:, [j for j in range(4) if j != i]].any()
        assert slopes[i][:, i].any()


@pytest.mark.parametrize(
    ("module", "n", "text"),
    [
        (nn.BatchNorm1d(2), 1, r"batch of 1 has no spread .* at least two rows"),
        (nn.Linear(2, 2), 4, r"Linear has no batch norm that could become virtual"),
    ],
)
def test_what_cannot_be_normalised_virtually_is_refused(module, n, text):
    with pytest.raises(GameError, match=text):
        virtual_batch_norm(module, torch.zeros(n, 2))
