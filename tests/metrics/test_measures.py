"""The two-pass gradient against one graph over everything."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from counterplay import _rng
from counterplay.errors import MetricError
from counterplay.game import apply_of
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.target import of_samples, of_state


REAL = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def in_one_graph(game, state, n, metric, *, averaged=False):
    tensors = {
        name: tensor.clone().requires_grad_()
        for name, tensor in state.tensors().items()
        if tensor.is_floating_point()
    }
    view = state.with_tensors({**state.tensors(), **tensors}).view(averaged=averaged)
    noise = game.draw(n, _rng.generator(7, "metric"), view)
    noise = {name: entry.double() for name, entry in noise.items()}
    value = metric(game.sample(view, noise))
    grads = torch.autograd.grad(value, list(tensors.values()), allow_unused=True)
    return value, {k: g for k, g in zip(tensors, grads, strict=True) if g is not None}


@pytest.mark.parametrize("chunk", [1, 16, 33, 1_000])
def test_two_passes_equal_one_graph(make_game, chunk):
    game = make_game()
    state = game.initial()
    target = of_samples("frechet", game, reference=REAL, n=33, seed=7, chunk=chunk)
    value, gradient = target.cotangent(state)
    expected, by_graph = in_one_graph(game, state, 33, lambda x: frechet_distance(REAL, x))
    assert value == pytest.approx(expected.item(), 1e-12)
    assert value == pytest.approx(target.value(state), 1e-12)
    assert set(gradient) == set(by_graph) == {n for n in state.tensors() if "params/G" in n}
    for name in gradient:
        torch.testing.assert_close(gradient[name], by_graph[name], rtol=1e-10, atol=1e-12)


def test_the_gradient_reaches_averages_and_the_buffers_that_samples_read(make_game):
    generator = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    game = make_game(generator, averages={"G": 10.0})
    state = game.initial()
    moved = {
        player: {k: v + 0.1 for k, v in group.items()}
        for player, group in state.averages.items()
    }
    state = replace(state, averages=moved)
    target = of_samples(
        "frechet", game, reference=REAL, n=33, seed=7, averaged=True, chunk=8
    )
    value, gradient = target.cotangent(state)
    metric = lambda x: frechet_distance(REAL, x)
    expected, by_graph = in_one_graph(game, state, 33, metric, averaged=True)
    assert value == pytest.approx(expected.item(), 1e-12)
    assert set(gradient) == set(by_graph)
    assert {"averages/G/0.weight", "buffers/G/1.running_mean"} <= set(gradient)
    assert not any(name.startswith("params/") for name in gradient)
    for name in gradient:
        torch.testing.assert_close(gradient[name], by_graph[name], rtol=1e-10, atol=1e-12)


def test_a_small_change_of_the_state_changes_the_value_as_the_gradient_says(make_game):
    game = make_game()
    state = game.initial()
    target = of_samples("frechet", game, reference=REAL, n=64)
    _, gradient = target.cotangent(state)
    h = 1e-6
    shifted = [
        state.with_tensors(
            {
                k: v + s * h * gradient.get(k, torch.zeros_like(v))
                for k, v in state.tensors().items()
            }
        )
        for s in (1, -1)
    ]
    slope = (target.value(shifted[0]) - target.value(shifted[1])) / (2 * h)
    assert slope == pytest.approx(
        float(sum(g.square().sum() for g in gradient.values())), 1e-6
    )


def test_neither_pass_changes_the_state_or_the_global_generator(make_game):
    game = make_game()
    state = game.initial()
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    generator = torch.get_rng_state()
    of_samples("frechet", game, reference=REAL, n=16).cotangent(state)
    assert torch.equal(torch.get_rng_state(), generator)
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, before[name])
        assert not tensor.requires_grad


def test_single_precision_players_get_a_single_precision_gradient(make_game):
    state = make_game().initial()
    single = make_game(dtype=torch.float32)
    target = of_samples("frechet", make_game(), reference=REAL, n=64)
    _, exact = target.cotangent(state)
    value, gradient = of_samples("frechet", single, reference=REAL, n=64).cotangent(
        single.initial()
    )
    assert value == pytest.approx(target.value(state), 1e-4)
    for name, part in gradient.items():
        assert part.dtype == torch.float32
        torch.testing.assert_close(part.double(), exact[name], rtol=1e-3, atol=1e-4)


def test_a_gradient_may_be_taken_where_gradients_are_off(make_game):
    game = make_game()
    state = game.initial()
    with torch.no_grad():
        _, gradient = of_samples("frechet", game, reference=REAL, n=16).cotangent(state)
        _, of_d = of_state(
            lambda params: params["D"]["weight"].square().sum(),
            name="d",
            higher_is_better=True,
        ).cotangent(state)
    assert gradient
    torch.testing.assert_close(of_d["params/D/weight"], 2 * state.params["D"]["weight"])
    assert set(of_d) == {"params/D/weight"}


def test_diverged_samples_are_refused(make_game):
    game = make_game()
    state = game.initial()
    state.params["G"]["0.bias"].fill_(float("nan"))
    target = of_samples("frechet", game, reference=REAL, n=16)
    with pytest.raises(
        MetricError, match=r"16 of 16 samples at move 0 .*'frechet_identity_16'"
    ):
        target.value(state)


def test_a_sample_that_draws_its_own_random_numbers_is_refused(make_game):
    game = make_game(
        sample=lambda params, noise: torch.randn(16, 2) + params["G"]["2.bias"]
    )
    with pytest.raises(MetricError, match="gave other features the second time"):
        of_samples("frechet", game, reference=REAL, n=16).cotangent(game.initial())


def test_noise_without_one_row_per_sample_is_refused(make_game):
    game = make_game(draw=lambda size, generator, params: {"z": torch.zeros(1, 3)})
    with pytest.raises(MetricError, match=r"noise 'z' of shape \(1, 3\) for 16 samples"):
        of_samples("frechet", game, reference=REAL, n=16).value(game.initial())


def test_integer_noise_stays_integer(make_game):
    embed = apply_of("G", nn.Embedding(4, 2))
    game = make_game(
        nn.Embedding(4, 2),
        draw=lambda size, generator, params: {"y": torch.arange(size) % 4},
        sample=lambda params, noise: embed.evaluated(params, noise["y"]),
    )
    _, gradient = of_samples("frechet", game, reference=REAL, n=16).cotangent(
        game.initial()
    )
    assert set(gradient) == {"params/G/weight"}


def test_a_metric_without_gradient_has_a_value_and_no_cotangent(make_game):
    game = make_game()
    state = game.initial()
    target = of_samples("recall", game, reference=REAL, n=64)
    assert 0 <= target.value(state) <= 1
    with pytest.raises(MetricError, match="'recall_identity_64' cannot be differentiated"):
        target.cotangent(state)
    constant = of_state(lambda params: torch.ones(()), name="one", higher_is_better=True)
    assert constant.value(state) == 1.0
    with pytest.raises(MetricError, match="'one' cannot be differentiated"):
        constant.cotangent(state)
