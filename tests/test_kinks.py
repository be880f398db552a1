"""Kinks: what crossing them adds to a derivative, against closed forms and retraining."""

import math
from collections.abc import Callable

import cases
import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn
from torch.nn import functional

from counterplay import optim
from counterplay._adjoint import Mollified, Unroll
from counterplay._influence import trace
from counterplay._kinks import Kinks
from counterplay._play import play
from counterplay._retrain import counterfactual_effects
from counterplay.errors import TraceError
from counterplay.game import Columns, Game
from counterplay.games.gan import gan
from counterplay.metrics.target import of_state


N = 20_000


def one_number(hinge: Callable[[torch.Tensor], torch.Tensor], *, lr: float = 0.5):
    """The mean of `hinge(x + number)` over normal x, lowered by one player.

    The batch is all of the data, at the quantiles of the normal distribution.
    """
    quantiles = norm.ppf((np.arange(N) + 0.5) / N)
    game = Game(
        modules={"A": cases.Number(-0.4)},
        losses={
            "A": lambda params, batch, noise, weights: (
                weights * hinge(batch["x"] + params["A"]["value"])
            ).mean()
        },
        optimizers={"A": optim.sgd(lr)},
        schedule=(("A",),),
        draw=lambda size, generator, params: {},
        readers=("A",),
    )
    data = Columns({"x": torch.from_numpy(quantiles)}, tuple(map(str, range(N))))
    metric = of_state(lambda params: params["A"]["value"], name="a", higher_is_better=True)
    return cases.Case(game, data, metric)


def two_moves(slopes: Callable[[np.ndarray], np.ndarray], bend: Callable, lr: float = 0.5):
    """By hand: the number after two moves by each weight; the normal density is known."""
    x, start = norm.ppf((np.arange(N) + 0.5) / N), -0.4
    middle = start - lr * slopes(x + start).mean()
    first = -lr / N * slopes(x + start) * (1 - lr * bend(middle))
    return first - lr / N * slopes(x + middle)


HINGES = {
    "relu": (functional.relu, lambda x: 1.0 * (x > 0), lambda a: norm.pdf(-a)),
    "leaky relu": (
        lambda x: functional.leaky_relu(x, 0.3),
        lambda x: np.where(x > 0, 1, 0.3),
        lambda a: 0.7 * norm.pdf(-a),
    ),
    "abs": (torch.abs, np.sign, lambda a: 2 * norm.pdf(-a)),
    "clamp": (
        lambda x: x.clamp(-0.5, 1.5),
        lambda x: 1.0 * ((x > -0.5) & (x < 1.5)),
        lambda a: norm.pdf(-0.5 - a) - norm.pdf(1.5 - a),
    ),
    "a hinge loss": (
        lambda x: torch.relu(1 - x),
        lambda x: -1.0 * (x < 1),
        lambda a: norm.pdf(1 - a),
    ),
}


@pytest.mark.parametrize("name", HINGES)
def test_the_jumps_to_expect_are_the_density_at_the_kink(name):
    hinge, slopes, bend = HINGES[name]
    case, expected = one_number(hinge), two_moves(slopes, bend)
    run = play(case.game, case.data, n_steps=2, batch_size=N)
    found = trace(case.game, case.data, run, case.metric, adjoint=Mollified())
    blind = trace(case.game, case.data, run, case.metric)
    order = torch.from_numpy(np.argsort(norm.ppf((np.arange(N) + 0.5) / N)))
    torch.testing.assert_close(
        found.gradient[order], torch.from_numpy(expected)[order], rtol=0.01, atol=0.01 / N
    )
    missed = np.abs(blind.gradient.numpy() - expected).max()
    assert missed > 0.05 * np.abs(expected).max()  # the derivative alone is wrong


def test_removing_a_group_moves_a_run_as_far_as_kinks_say():
    case = one_number(functional.relu)
    run = play(case.game, case.data, n_steps=6, batch_size=N)
    group = torch.randperm(N, generator=torch.Generator().manual_seed(0))[:200]
    rows = run.plan.weights.repeat(1, 1)
    rows[0, group] = 0
    (actual,) = counterfactual_effects(
        case.game, case.data, run, [case.metric], rows, executor="serial"
    ).flatten()
    seen, blind = (
        trace(case.game, case.data, run, case.metric, adjoint=adjoint).of_group(group)
        for adjoint in (Mollified(), Unroll())
    )
    assert seen == pytest.approx(actual.item(), rel=0.05)
    assert abs(blind - actual) > 0.2 * abs(actual)


@pytest.mark.parametrize("extra", ["plain", "everything"])
def test_without_kinks_nothing_changes(extra):
    case = cases.combined("adam", "alternating", extra)
    run = play(case.game, case.data, n_steps=8, batch_size=4)
    one, other = (
        trace(case.game, case.data, run, case.metric, adjoint=adjoint).gradient
        for adjoint in (Unroll(), Mollified())
    )
    assert torch.equal(one, other)


def kinked_gan(in_place: bool = False, **options):
    torch.manual_seed(0)
    kink = nn.LeakyReLU(0.2, in_place)
    generator = nn.Sequential(nn.Linear(3, 8), nn.ReLU(in_place), nn.Linear(8, 2)).double()
    discriminator = nn.Sequential(
        nn.Linear(2, 8), kink, nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0)
    ).double()
    game = gan(generator, discriminator, latent_dim=3, lr_g=0.05, lr_d=0.05, **options)
    return cases.Case(game, cases.points(), cases.wave_of(game))


@pytest.mark.parametrize("options", [{}, {"r1": 1.0}, {"gradient_penalty": 1.0}])
def test_moves_and_penalties_on_slopes_are_those_of_the_run(options):
    case = kinked_gan(**options)
    run = play(case.game, case.data, n_steps=8, batch_size=4, every=2)
    # A replay that differs from the record by one bit is refused.
    seen = trace(case.game, case.data, run, case.metric, adjoint=Mollified())
    blind = trace(case.game, case.data, run, case.metric)
    assert seen.value == blind.value
    assert not torch.allclose(seen.gradient, blind.gradient)
    # With bells too narrow for any unit to meet, the derivative is left.
    narrow = trace(case.game, case.data, run, case.metric, adjoint=Mollified(width=1e-9))
    torch.testing.assert_close(narrow.gradient, blind.gradient, rtol=1e-10, atol=1e-16)


def test_functions_in_place_have_the_same_kinks():
    found = []
    for in_place in (False, True):
        case = kinked_gan(in_place)
        run = play(case.game, case.data, n_steps=8, batch_size=4)
        found.append(trace(case.game, case.data, run, case.metric, adjoint=Mollified()))
    torch.testing.assert_close(*(one.gradient for one in found), rtol=1e-12, atol=0)


def test_several_metrics_in_one_sweep_equal_single_ones():
    case = kinked_gan()
    metrics = [case.metric, cases.wave_of(case.game, seed=9)]
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    together = trace(case.game, case.data, run, metrics, adjoint=Mollified())
    for metric, found in zip(metrics, together, strict=True):
        alone = trace(case.game, case.data, run, metric, adjoint=Mollified())
        torch.testing.assert_close(found.gradient, alone.gradient, rtol=1e-10, atol=1e-16)


FUNCTIONS = [
    (functional.relu, [(0, 1)]),
    (torch.relu, [(0, 1)]),
    (lambda x: x.relu(), [(0, 1)]),
    (lambda x: functional.relu(x.clone(), inplace=True), [(0, 1)]),
    (lambda x: x.clone().relu_(), [(0, 1)]),
    (lambda x: functional.leaky_relu(x, 0.2), [(0, 0.8)]),
    (lambda x: functional.leaky_relu(input=x, negative_slope=0.2), [(0, 0.8)]),
    (nn.LeakyReLU(0.2), [(0, 0.8)]),
    (nn.ReLU6(), [(0, 1), (6, -1)]),
    (nn.Hardtanh(-2, 1), [(-2, 1), (1, -1)]),
    (lambda x: x.abs(), [(0, 2)]),
    (lambda x: x.clamp(min=0.5), [(0.5, 1)]),
    (lambda x: torch.clamp(x, -1, 2), [(-1, 1), (2, -1)]),
    (lambda x: x.clamp_min(0.3), [(0.3, 1)]),
    (lambda x: torch.clamp_max(x, 0.3), [(0.3, -1)]),
    (nn.Softplus(), None),
]


@pytest.mark.parametrize(("function", "jumps"), FUNCTIONS)
def test_a_second_derivative_has_a_bell_at_every_kink(function, jumps):
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(50, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    kinks = Kinks(0.2)
    with kinks.noted():
        y = function(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    plain = function(x)
    (plain_slope,) = torch.autograd.grad(plain.sum(), x, create_graph=True)
    assert torch.equal(y, plain)
    assert torch.equal(slope, plain_slope)
    with kinks.seen():
        (curve,) = torch.autograd.grad(slope.sum(), x, retain_graph=True)
    if jumps is None:
        (expected,) = torch.autograd.grad(plain_slope.sum(), x)
        assert torch.equal(curve, expected)
        return
    values, expected = x.detach().numpy(), np.zeros((50, 4))
    for at, jump in jumps:
        widths = 0.2 * np.sqrt(((values - at) ** 2).mean(0))  # each unit has its own
        expected += jump * norm.pdf(values, at, widths)
    np.testing.assert_allclose(curve.numpy(), expected, rtol=1e-10, atol=1e-15)


def test_bells_hold_the_mass_of_a_spike_and_dead_units_have_none():
    x = torch.linspace(-5, 5, 10_001, dtype=torch.float64)[:, None]
    mass = Kinks(0.05).bell(x).sum() * 1e-3
    assert mass.item() == pytest.approx(1, rel=1e-6)
    assert torch.equal(Kinks(0.1).bell(torch.zeros(5, 2)), torch.zeros(5, 2))
    channels = torch.randn(4, 3, 5, 5)
    scale = Kinks(0.1).bell(channels)[:, 1] * math.sqrt(2 * math.pi) * 0.1
    spread = channels[:, 1].square().mean().sqrt()
    assert (scale.max() * spread).item() <= 1 + 1e-5  # over images and pixels of a channel


def test_a_width_that_is_not_above_zero_is_refused():
    case = kinked_gan()
    run = play(case.game, case.data, n_steps=2, batch_size=4)
    with pytest.raises(TraceError, match=r"`width` must be above 0, .* got 0"):
        trace(case.game, case.data, run, case.metric, adjoint=Mollified(width=0))
