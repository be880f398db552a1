import pytest
import torch

from counterplay.errors import ConfigError
from counterplay.nets.families import networks
from counterplay.nets.roles import ROLES


SIZES = {
    "latent_dim": 4, "n_classes": 3, "n_discriminators": 2, "n_categories": 2,
    "n_continuous": 1, "n_tasks": 4, "n_changes": 4, "n_features": 6,
}  # fmt: skip
N = 5


def inputs_of(role, shape):
    labels = torch.arange(N) % SIZES["n_classes"]
    made = {
        "x": torch.randn(N, *shape), "z": torch.randn(N, 4), "y": labels, "d": labels % 2,
        "w": torch.ones(N),
    }  # fmt: skip
    return [made[letter] for letter in role.reads]


@pytest.mark.parametrize("name", ["mlp", "dcgan"])
@pytest.mark.parametrize("wanted", ROLES)
def test_every_role_has_networks_that_fit(name, wanted):
    role, shape = ROLES[wanted], (1, 8, 8)
    (made,) = networks(name, [wanted], shape, SIZES, width=8)
    for network in made if role.several else [made]:
        found = network(*inputs_of(role, shape))
        if role.features:
            found, features = found
            assert features.shape[0] == N
            assert features.dim() == 2
        if wanted == "contrastive_discriminator":
            logits, places, whole = found
            assert logits.shape == (N,)
            assert places.shape == (N, places.shape[1], 6)
            assert whole.shape == (N, 6)
        elif set(role.gives) == {"x"}:
            for samples in found if isinstance(found, tuple) else (found,):
                assert samples.shape == (N, *shape)
        elif role.gives == ("1",):
            assert found.shape == (N,)
        else:
            counts = {"1": 1, "z": 4, **SIZES}
            assert found.flatten(1).shape == (N, sum(counts[g] for g in role.gives))
    assert not role.several or len(made) == 2


def test_several_networks_differ():
    ((one, other),) = networks("mlp", ["discriminators"], (2,), SIZES)
    assert not torch.equal(one[0].weight, other[0].weight)


@pytest.mark.parametrize("wanted", ["generator", "discriminator"])
def test_sagan_has_networks_with_and_without_classes(wanted):
    for name in (wanted, f"conditional_{wanted}"):
        (network,) = networks("sagan", [name], (1, 8, 8), SIZES, width=4, spectral=False)
        found = network(*inputs_of(ROLES[name], (1, 8, 8)))
        assert found.shape == ((N, 1, 8, 8) if wanted == "generator" else (N,))


@pytest.mark.parametrize("name", ["resnet", "linear_quadratic", "sagan", "stylegan2"])
def test_a_role_that_a_family_lacks_is_refused(name):
    with pytest.raises(ConfigError, match=rf"'{name}' are a plain .* from 'x' to \['z'\]"):
        networks(name, ["encoder"], (1, 8, 8), SIZES)
