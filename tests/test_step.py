"""One move: pure, differentiable, and the same by autograd and by transform."""

from dataclasses import replace

import cases
import numpy as np
import pytest
import torch

from counterplay._step import by_transform, detached, step
from counterplay._trajectory import draw, make_plan, weights_of
from counterplay.game import State


def before(case, batch_size=4, seed=0):
    plan = make_plan(case.data, batch_size=batch_size, seed=seed)
    state = case.game.initial()
    batch, noise = draw(case.game, case.data, plan, state)
    return state, batch, noise, weights_of(plan, batch, state)


@pytest.mark.parametrize("extra", cases.EXTRAS)
@pytest.mark.parametrize("schedule", cases.SCHEDULES)
def test_transforms_give_the_same_move_as_autograd(schedule, extra):
    case = cases.gan(**cases.SCHEDULES[schedule], **cases.EXTRAS[extra])
    state, *inputs = before(case)
    for move in range(4):
        state = replace(state, step=move)
        ours, losses = step(case.game, state, *inputs)
        theirs, others = step(case.game, state, *inputs, gradient=by_transform)
        for name, tensor in ours.tensors().items():
            torch.testing.assert_close(
                theirs.tensors()[name], tensor, rtol=1e-12, atol=1e-14
            )
        assert losses.keys() == others.keys()
        state = detached(ours)


def test_without_grad_mode_a_move_has_no_history_and_the_same_values():
    case = cases.gan(**cases.EXTRAS["everything"])
    inputs = before(case)
    with torch.no_grad():
        plain, losses = step(case.game, *inputs)
    graph, _ = step(case.game, detached(inputs[0], requires_grad=True), *inputs[1:])
    assert not any(tensor.requires_grad for tensor in plain.tensors().values())
    assert not any(loss.requires_grad for loss in losses.values())
    assert graph.params["D"]["0.bias"].requires_grad
    for name, tensor in graph.tensors().items():
        torch.testing.assert_close(tensor, plain.tensors()[name], rtol=1e-13, atol=1e-15)


def test_players_of_one_move_read_the_same_old_state():
    case = cases.bilinear(simultaneous=True)
    with torch.no_grad():
        after, losses = step(case.game, *before(case, 8))
    assert float(after.params["X"]["value"]) == pytest.approx(1.0 - 0.1 * 0.5)
    assert float(after.params["Y"]["value"]) == pytest.approx(0.5 + 0.1 * 1.0)
    assert float(losses["X"]) == pytest.approx(0.5)
    assert float(losses["Y"]) == pytest.approx(-0.5)


def test_a_player_that_does_not_move_stays_as_it_is():
    case = cases.gan(**cases.EXTRAS["everything"])
    state, *inputs = before(case)
    after, losses = step(case.game, state, *inputs)
    assert set(losses) == {"D"}
    for part in ("params", "buffers", "slots"):
        assert getattr(after, part)["G"] is getattr(state, part)["G"]
    assert after.averages["G"] is state.averages["G"]
    assert after.step == 1


@pytest.mark.parametrize("simultaneous", [True, False])
def test_the_bilinear_game_has_its_closed_form_iterates(simultaneous):
    # Simultaneous play turns and grows by sqrt(1 + lr^2); alternating play keeps
    # x^2 + y^2 - lr x y, so it stays bounded. Source: Gidel et al. 2019, arXiv 1807.04740.
    lr, case = 0.1, cases.bilinear(simultaneous=simultaneous)
    state, *inputs = before(case, 8)
    together = np.array([[1.0, -lr], [lr, 1.0]])
    in_turn = np.array([[1.0, -lr], [lr, 1 - lr**2]])
    place = np.array([1.0, 0.5])
    energy = place @ place - lr * place.prod()
    for n in range(1, 201):
        place = (together if simultaneous else in_turn) @ place
        with torch.no_grad():
            for _ in case.game.schedule:
                state, _ = step(case.game, state, *inputs)
        reached = [float(state.params[player]["value"]) for player in "XY"]
        np.testing.assert_allclose(reached, place, rtol=1e-11)
        size = np.linalg.norm(reached)
        if simultaneous:
            assert size == pytest.approx(np.sqrt(1.25) * (1 + lr**2) ** (n / 2))
        else:
            assert size**2 - lr * np.prod(reached) == pytest.approx(energy)


def test_a_moving_average_halves_its_distance_in_its_half_life():
    case = cases.gan(ema_halflife=3.0, lr_g=0.0, simultaneous=True)
    state, *inputs = before(case)
    params = state.params["G"]
    far = {"G": {name: param + 8.0 for name, param in params.items()}}
    state = State(0, state.params, state.buffers, state.slots, far)
    for _ in range(6):
        state, _ = step(case.game, state, *inputs)
    for name, average in state.averages["G"].items():
        torch.testing.assert_close(average, params[name] + 2.0)


def test_detached_leaves_integers_without_gradient():
    state = cases.gan(batch_norm=True).game.initial()
    leaves = detached(state, requires_grad=True).tensors()
    for name, tensor in leaves.items():
        assert tensor.requires_grad == tensor.is_floating_point(), name
    assert not leaves["buffers/G/1.num_batches_tracked"].requires_grad
