"""What every network promises: derivatives of second order, and stacks of networks in one go."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from counterplay import nets
from counterplay.nets.activations import activation
from counterplay.nets.norms import NORMS


def _dcgan(size, **options):
    return nets.pair(
        "dcgan", (1, size, size), latent_dim=3, width=4, dtype=torch.float64, **options
    )


PAIRS = {
    "mlp": nets.pair("mlp", (2,), latent_dim=3, width=5, dtype=torch.float64),
    "mlp images": nets.pair("mlp", (1, 4, 4), latent_dim=3, width=5, dtype=torch.float64),
    "linear_quadratic": nets.pair(
        "linear_quadratic", (2,), latent_dim=3, dtype=torch.float64
    ),
    "resnet": nets.pair(
        "resnet", (1, 8, 8), latent_dim=3, width=4, norm="group", dtype=torch.float64
    ),
    "sagan": nets.pair(
        "sagan", (1, 8, 8), latent_dim=3, width=4, norm="group", dtype=torch.float64
    ),
    "stylegan2": nets.pair(
        "stylegan2", (1, 8, 8), latent_dim=3, width=3, depth=1, dtype=torch.float64
    ),
    "dcgan group": _dcgan(8),
    "dcgan layer": _dcgan(28, norm="layer"),
    "dcgan none": _dcgan(16, norm="none", activation="softplus"),
    "dcgan spectral": _dcgan(8, spectral=True),
    "dcgan zero insertion": _dcgan(8, last_layer="Z.1.3"),
    "dcgan nearest": _dcgan(8, last_layer="N.3.5"),
    "dcgan bilinear": _dcgan(8, last_layer="B.1.5"),
}


def _tensors(module):
    return {name: value.detach() for name, value in module.state_dict().items()}


def _mixed_derivative(G, D, z):
    """The derivative in G of the squared gradient of D's loss: what a trace is made of."""

    def loss(params_d, params_g):
        return (
            functional_call(D, params_d, (functional_call(G, params_g, (z,)),))
            .square()
            .mean()
        )

    def squared_gradient(params_g, params_d):
        return sum(g.square().sum() for g in grad(loss)(params_d, params_g).values())

    return grad(squared_gradient)


@pytest.mark.parametrize("name", PAIRS)
def test_second_derivatives_match_differences(name):
    G, D = PAIRS[name]
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    params_g, params_d = _tensors(G), _tensors(D)

    def squared_gradient(params_g):
        params = {k: v.clone().requires_grad_() for k, v in params_d.items()}
        fake = functional_call(G, params_g, (z,))
        loss = functional_call(D, params, (fake,)).square().mean()
        grads = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
        return sum(g.square().sum() for g in grads)

    draws = torch.Generator().manual_seed(1)
    direction = {
        k: torch.randn(v.shape, generator=draws, dtype=v.dtype) for k, v in params_g.items()
    }
    exact = _mixed_derivative(G, D, z)(params_g, params_d)
    exact = sum((exact[k] * direction[k]).sum() for k in exact)
    h = 1e-6
    up, down = (
        squared_gradient({k: v + s * h * direction[k] for k, v in params_g.items()})
        for s in (1, -1)
    )
    # Central differences in float64: rounding over h dominates.
    torch.testing.assert_close(exact, (up - down) / (2 * h), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", PAIRS)
def test_stacked_networks_equal_single_ones(name):
    G, D = PAIRS[name]
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    params_g = [_tensors(G), {k: 0.5 * v for k, v in _tensors(G).items()}]
    params_d = [_tensors(D), {k: 1.5 * v for k, v in _tensors(D).items()}]

    def stacked(networks):
        return {k: torch.stack([network[k] for network in networks]) for k in networks[0]}

    derivative = _mixed_derivative(G, D, z)
    together = vmap(derivative)(stacked(params_g), stacked(params_d))
    for i in range(2):
        alone = derivative(params_g[i], params_d[i])
        for key, value in alone.items():
            torch.testing.assert_close(together[key][i], value, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", PAIRS)
def test_instances_are_not_coupled(name):
    G, D = PAIRS[name]
    x = G(torch.randn(4, 3, dtype=torch.float64)).detach()
    torch.testing.assert_close(D(x)[:2], D(x[:2]))


@pytest.mark.parametrize(
    "name", ["elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh"]
)
def test_no_layer_works_in_place(name):
    assert not getattr(activation(name), "inplace", False)
    assert set(NORMS) == {"group", "layer", "batch", "none"}


def test_spectral_norm_bounds_the_singular_values():
    layer = nets.spectral_norm(nn.Linear(5, 4))
    assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=1e-6)
