"""The slope penalties: closed forms, and three ways of differentiating through them."""

import pytest
import torch
from torch import nn

from counterplay.penalties import consistency, dragan, gradient_norm, orthogonal, r1, r2


penalties = {
    "gradient_norm": gradient_norm,
    "r1": lambda score, real, fake, mix: r1(score, real),
    "r2": lambda score, real, fake, mix: r2(score, fake),
}


def float64(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture(params=["dense", "convolutional"])
def network(request):
    """A smooth discriminator and the shape of its input."""
    if request.param == "dense":
        shape, layers = (3,), [nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)]
    else:
        shape = (1, 6, 6)
        convolutions = [nn.Conv2d(1, 3, 3, 2, 1), nn.GroupNorm(1, 3), nn.SiLU()]
        layers = [
            *convolutions,
            nn.Conv2d(3, 2, 3),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(2, 1),
        ]
    module = nn.Sequential(*layers).double()
    for seed, param in enumerate(module.parameters()):
        param.data = float64(*param.shape, seed=seed) / 2
    return module, shape


@pytest.fixture(params=list(penalties))
def problem(request, network):
    """`values(params, real, fake)`, one penalty per instance, and arguments for it."""
    module, shape = network
    mix = torch.tensor([0.2, 0.5, 0.9, 1.0], dtype=torch.float64)

    def values(params, real, fake):
        def score(x):
            return torch.func.functional_call(module, params, (x,)).reshape(len(x))

        return penalties[request.param](score, real, fake, mix)

    params = {name: param.detach() for name, param in module.named_parameters()}
    return values, (params, float64(4, *shape, seed=50), float64(4, *shape, seed=51))


def test_the_slopes_of_a_quadratic_score():
    def score(x):
        return x.square().sum(1) / 2  # its slope is x

    real, fake = (
        torch.tensor([[3.0, 4.0], [0.0, 0.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 2.0]]),
    )
    assert r1(score, real).tolist() == [25.0, 0.0]
    assert r2(score, fake).tolist() == [0.0, 4.0]
    mixed = gradient_norm(score, real, fake, torch.tensor([0.2, 0.25]))
    assert mixed.tolist() == pytest.approx([0.0, 0.25])  # slopes of length 1 and 1.5


def test_at_the_ends_of_the_mix_only_one_side_is_seen():
    def score(x):
        return x.square().sum(1) / 2

    real, fake = float64(2, 3), float64(2, 3, seed=1)
    ones, zeros = torch.ones(2).double(), torch.zeros(2).double()
    at_real = gradient_norm(score, real, fake, ones)
    at_fake = gradient_norm(score, real, fake, zeros)
    torch.testing.assert_close(at_real, (real.norm(dim=1) - 1).square())
    torch.testing.assert_close(at_fake, (fake.norm(dim=1) - 1).square())


def test_a_penalty_belongs_to_its_own_instance(problem):
    values, (params, real, fake) = problem
    before = values(params, real, fake)
    changed_real, changed_fake = real.clone(), fake.clone()
    changed_real[0] += 1
    changed_fake[0] += 1
    after = values(params, changed_real, changed_fake)
    torch.testing.assert_close(after[1:], before[1:], rtol=1e-12, atol=0)
    assert before.shape == (4,)
    assert after[0] != before[0]


def test_its_gradient_equals_finite_differences(problem):
    values, (params, real, fake) = problem
    leaves = [tensor.clone().requires_grad_() for tensor in (*params.values(), real, fake)]

    def of_leaves(*leaves):
        return values(dict(zip(params, leaves, strict=False)), *leaves[-2:])

    assert torch.autograd.gradcheck(of_leaves, leaves)


def test_its_second_gradient_equals_finite_differences(problem):
    values, (params, real, fake) = problem
    leaves = [param.clone().requires_grad_() for param in params.values()]
    weights = torch.ones(4, dtype=torch.float64, requires_grad=True)

    def of_leaves(weights, *leaves):
        return weights @ values(dict(zip(params, leaves, strict=True)), real, fake)

    assert torch.autograd.gradgradcheck(of_leaves, (weights, *leaves), fast_mode=True)


def test_autograd_and_transforms_give_the_same_gradients(problem):
    values, (params, real, fake) = problem

    def loss(params, weights):
        return weights @ values(params, real, fake)

    weights = torch.rand(3, 4, dtype=torch.float64)
    mapped = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(params, weights)
    for row, weight in enumerate(weights):
        leaves = {name: param.clone().requires_grad_() for name, param in params.items()}
        plain = torch.autograd.grad(
            loss(leaves, weight),
            list(leaves.values()),
            create_graph=True,
            materialize_grads=True,
        )
        transformed = torch.func.grad(loss)(params, weight)
        for name, gradient in zip(params, plain, strict=True):
            torch.testing.assert_close(gradient.detach(), transformed[name])
            torch.testing.assert_close(mapped[name][row], transformed[name])


@pytest.mark.parametrize("penalty", penalties.values(), ids=list(penalties))
def test_a_flat_score_has_finite_derivatives(penalty):
    slope = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    real, fake, mix = (
        float64(3, 2),
        float64(3, 2, seed=1),
        torch.rand(3, dtype=torch.float64),
    )
    value = penalty(lambda x: x @ slope, real, fake, mix).sum()
    (gradient,) = torch.autograd.grad(value, slope, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), slope, allow_unused=True)
    assert gradient.tolist() == [0.0, 0.0]
    assert second is None or second.isfinite().all()


def test_around_an_instance_a_slope_of_one_costs_nothing():
    x, noise = float64(5, 3), float64(5, 3, seed=1)
    direction = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    for length, expected in {1.0: 0.0, 3.0: 4.0}.items():
        found = dragan(lambda x, length=length: length * (x @ direction), x, noise)
        torch.testing.assert_close(found, torch.full((5,), expected).double())


def test_an_unchanged_score_is_consistent():
    x = float64(5, 3)
    score = lambda x: x.square().sum(1)
    assert not consistency(score, x, -x).any()
    torch.testing.assert_close(consistency(score, x, 2 * x), (3 * score(x)).square())


def test_only_different_filters_must_be_orthogonal():
    wide = 3 * torch.eye(2, 4, dtype=torch.float64)
    assert float(orthogonal({"weight": wide, "bias": torch.ones(2)})) == 0
    same = torch.ones(2, 1, 2, 2, dtype=torch.float64)  # filters of a convolution
    assert float(orthogonal({"weight": same})) == 2 * 4**2
