"""The heart: what the adjoints say is the derivative of the run."""

from dataclasses import replace

import cases
import numpy as np
import oracles
import pytest
import torch

from counterplay import optim
from counterplay._adjoint import FirstOrder, Implicit, Unroll
from counterplay._forward_mode import ForwardMode
from counterplay._influence import trace
from counterplay._play import play
from counterplay._retrain import counterfactual_effects
from counterplay.errors import TraceError
from counterplay.metrics.target import of_state


def exact(actual, expected, *, rtol=1e-8):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=1e-16)


def traced(case, run, adjoint=Unroll()):  # noqa: B008
    return trace(case.game, case.data, run, case.metric, adjoint=adjoint).gradient


@pytest.mark.parametrize("extra", cases.EXTRAS)
@pytest.mark.parametrize("schedule", cases.SCHEDULES)
@pytest.mark.parametrize("optimizer", cases.OPTIMIZERS)
def test_unroll_is_the_derivative_of_the_whole_run(optimizer, schedule, extra):
    case, n_steps = cases.combined(optimizer, schedule, extra), 8
    run = play(case.game, case.data, n_steps=n_steps, batch_size=4, seed=5)
    weights = run.plan.weights.clone().requires_grad_()
    handmade = oracles.HandmadeGan(
        case.game, oracles.RULES[optimizer], weights, **cases.EXTRAS[extra]
    )
    handmade.play(case.game, case.data, run.plan, n_steps)
    value = cases.wave(handmade.sample(cases.latents_of(case)))
    (expected,) = torch.autograd.grad(value, weights)
    assert case.metric.value(run.final) == pytest.approx(value.item(), rel=1e-12)
    exact(traced(case, run), expected)


@pytest.mark.parametrize("schedule", cases.SCHEDULES)
@pytest.mark.parametrize("optimizer", cases.OPTIMIZERS)
def test_unroll_is_what_retraining_finds(optimizer, schedule):
    case = cases.combined(optimizer, schedule, "everything")
    run = play(case.game, case.data, n_steps=8, batch_size=4, seed=5)
    gradient = traced(case, run)
    for instance in (0, 5):
        found = oracles.finite_difference(case.game, case.data, run, case.metric, instance)
        assert gradient[instance].item() == pytest.approx(found, rel=1e-5)


def test_adam_with_its_usual_epsilon_is_differentiated_exactly():
    case = cases.gan(
        optimizer="adam", betas=(0.5, 0.999), eps_root=0.0, lr_g=0.01, lr_d=0.01
    )
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    exact(
        traced(case, run), oracles.unrolled(case.game, case.data, run.plan, 6, case.metric)
    )


def test_a_learning_rate_schedule_and_unequal_weights_are_differentiated_exactly():
    rate = lambda move: 0.2 / (1 + move)
    case = cases.gan(
        optimizers={"G": optim.sgd(rate), "D": optim.adam(rate, eps_root=1e-3)}
    )
    weights = torch.linspace(0.0, 2.0, 8, dtype=torch.float64)
    run = play(case.game, case.data, n_steps=6, batch_size=4, weights=weights)
    exact(
        traced(case, run), oracles.unrolled(case.game, case.data, run.plan, 6, case.metric)
    )


def test_dropout_is_differentiated_with_the_masks_of_the_run():
    case = cases.gan(dropout=0.4)
    run = play(case.game, case.data, n_steps=8, batch_size=4)
    gradient = traced(case, run)
    exact(gradient, oracles.unrolled(case.game, case.data, run.plan, 8, case.metric))
    exact(traced(case, run, ForwardMode(instances=(2, 3)))[[2, 3]], gradient[[2, 3]])
    found = oracles.finite_difference(case.game, case.data, run, case.metric, 2)
    assert gradient[2].item() == pytest.approx(found, rel=1e-5)


def test_the_last_moves_alone_leave_out_the_earlier_ones():
    case = cases.rival()
    run = play(case.game, case.data, n_steps=8, batch_size=4, every=3)
    late = play(
        case.game,
        case.data,
        n_steps=8,
        batch_size=4,
        checkpoints={5: run.state_at(case.game, case.data, 5)},
    )
    effects = counterfactual_effects(
        case.game, case.data, run, [case.metric],
        torch.ones(1, 8, dtype=torch.float64) - 1e-6, since=5, executor="serial",
    )  # fmt: skip
    found = traced(case, run, Unroll(last=3))
    exact(found, traced(case, late, Unroll(last=3)))
    assert found.sum().item() * -1e-6 == pytest.approx(effects.item(), rel=1e-4)
    assert not torch.allclose(found, traced(case, run))


def test_several_metrics_in_one_sweep_equal_single_ones():
    case = cases.gan(optimizer="adam", ema_halflife=2.0)
    metrics = [case.metric, cases.wave_of(case.game, seed=9), cases.wave_of(case.game)]
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    together = trace(case.game, case.data, run, metrics)
    for metric, found in zip(metrics, together, strict=True):
        alone = trace(case.game, case.data, run, metric)
        assert found.metric == metric.name
        exact(found.gradient, alone.gradient, rtol=1e-12)


def test_three_players_and_moves_without_data_are_differentiated_exactly():
    case = cases.triangle()
    run = play(case.game, case.data, n_steps=9, batch_size=4)
    exact(
        traced(case, run), oracles.unrolled(case.game, case.data, run.plan, 9, case.metric)
    )
    found = oracles.finite_difference(case.game, case.data, run, case.metric, 3)
    assert traced(case, run)[3].item() == pytest.approx(found, rel=1e-5)
    exact(traced(case, run, ForwardMode((3,)))[3], traced(case, run)[3])


def test_an_optimizer_written_by_the_user_is_differentiated_exactly():
    def init(params):
        return {f"trail/{name}": torch.zeros_like(param) for name, param in params.items()}

    def update(grads, slots, params, move, count):
        trail = {k: 0.5 * slots[f"trail/{k}"] + torch.tanh(g) for k, g in grads.items()}
        moved = {k: p - 0.1 / (1 + count) * trail[k] for k, p in params.items()}
        return moved, {f"trail/{k}": v for k, v in trail.items()}

    soft_sign = optim.Optimizer(init, update, {"name": "soft sign"})
    case = cases.gan(optimizers={"G": soft_sign, "D": soft_sign})
    run = play(case.game, case.data, n_steps=7, batch_size=4)
    exact(
        traced(case, run), oracles.unrolled(case.game, case.data, run.plan, 7, case.metric)
    )


def test_a_bilinear_game_has_its_closed_form_derivative():
    case, lr = cases.bilinear(simultaneous=True), 0.1
    run = play(case.game, case.data, n_steps=10, batch_size=8)
    # The product is weighted by c = mean(weights * values), 1 here, so that
    # z_T = M(c)^T z_0 with M = 1 + lr c J and dz_T/dc = T M^(T-1) lr J z_0.
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    slope = 10 * np.linalg.matrix_power(np.eye(2) + lr * turn, 9) @ (lr * turn) @ [1.0, 0.5]
    exact(traced(case, run), case.data["value"] * slope[0] / 8)


def test_the_trace_of_ridge_regression_reaches_its_closed_form():
    case = cases.ridge()
    weights = torch.linspace(0.5, 1.5, 8, dtype=torch.float64)
    run = play(case.game, case.data, n_steps=700, batch_size=8, weights=weights)
    expected = oracles.ridge_effects(case.data, cases.SLOPE, weights, decay=0.1)
    exact(traced(case, run, Unroll()), expected)
    exact(traced(case, run, Implicit(depth=700)), expected)


def test_momentum_does_not_change_what_ridge_regression_reaches():
    case = cases.ridge(momentum=0.5)
    run = play(case.game, case.data, n_steps=400, batch_size=8)
    expected = oracles.ridge_effects(case.data, cases.SLOPE, run.plan.weights, decay=0.1)
    exact(traced(case, run, Implicit(depth=400)), expected)


def test_implicit_takes_an_instance_of_many_batches_for_its_share():
    # theta follows the mean: at any theta, lr (x_i - theta) / batch is the direct effect in
    # one of `batches_per_epoch` moves, and the series of (1 - lr)^k sums to 1 / lr.
    case = cases.mean()
    run = play(case.game, case.data, n_steps=40, batch_size=2)
    theta = run.final.params["D"]["weight"]
    exact(traced(case, run, Implicit(depth=400)), (case.data["x"][:, 0] - theta[0, 0]) / 8)


def test_a_converged_gan_has_its_closed_form_influence():
    # The end: G has the weighted moments of the data, b = E x and b^2 + a^2 = E x^2.
    case = cases.lqgan(whitened=True, lr_g=0.3, lr_d=0.3, decay=1.0)
    run = play(case.game, case.data, n_steps=400, batch_size=8)
    metric = of_state(
        lambda params: params["G"]["weight"].sum() ** 2 + params["G"]["bias"].sum(),
        name="variance plus mean",
        higher_is_better=True,
    )
    x = case.data["x"][:, 0]
    expected = (x**2 - 2 * x.mean() * x + x) / 8
    for adjoint in (Unroll(), Implicit(depth=400)):
        found = trace(case.game, case.data, run, metric, adjoint=adjoint)
        assert found.value == pytest.approx(x.var(correction=0).item() + x.mean().item())
        exact(found.gradient, expected, rtol=1e-6)


def test_damping_shrinks_each_further_term():
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=4, batch_size=8)
    short = traced(case, run, Implicit(depth=1))
    longer = traced(case, run, Implicit(depth=2))
    exact(traced(case, run, Implicit(depth=2, damping=0.25)), 0.25 * short + 0.75 * longer)


def test_implicit_reaches_the_instances_that_an_epoch_drops():
    case = cases.mean()
    run = play(case.game, case.data, n_steps=40, batch_size=3)
    theta = run.final.params["D"]["weight"]
    expected = (case.data["x"][:, 0] - theta[0, 0]) / 6
    exact(traced(case, run, Implicit(depth=400)), expected)


@pytest.mark.parametrize("adjoint", [Implicit(depth=0), Implicit(damping=1.0)])
def test_a_series_that_makes_no_sense_is_refused(adjoint):
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=2, batch_size=8)
    with pytest.raises(
        TraceError, match=r"`depth` must be at least 1, one round .*`damping"
    ):
        traced(case, run, adjoint)


def test_a_diverging_series_is_refused():
    case = cases.ridge(lr=50.0)
    run = play(case.game, case.data, n_steps=2, batch_size=8)
    with pytest.raises(TraceError, match=r"`Implicit\(depth=500, .* diverges: .*`damping`"):
        traced(case, run, Implicit(depth=500))


def test_a_series_that_grows_is_refused_before_it_overflows():
    case = cases.ridge(lr=4.0)
    run = play(case.game, case.data, n_steps=2, batch_size=8)
    text = r"diverges: its terms grow from 2\.29 to .* no attracting fixed point"
    with pytest.raises(TraceError, match=text):
        traced(case, run, Implicit(depth=5))
    assert traced(case, run, Implicit(depth=5, damping=0.9)).isfinite().all()


def test_a_game_that_reads_nothing_has_no_implicit_influence():
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=2, batch_size=8)
    blind = replace(case.game, readers=())
    with pytest.raises(TraceError, match=r"No player reads instances \(`readers` .* empty"):
        trace(blind, case.data, run, case.metric, adjoint=Implicit(depth=3))


def test_first_order_sums_what_each_move_did_by_itself():
    case, lr = cases.ridge(lr=0.3), 0.3
    run = play(case.game, case.data, n_steps=6, batch_size=4, every=1)
    expected = torch.zeros(8, dtype=torch.float64)
    for move in range(6):
        index = run.plan.index(move)
        x, y = case.data["x"][index], case.data["y"][index]
        slopes = run.checkpoints[move].params["D"]["weight"][0]
        expected[index] -= lr / 4 * (x @ slopes - y) * (x @ cases.SLOPE)
    exact(traced(case, run, FirstOrder()), expected)


def test_first_order_of_one_move_is_exact():
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=5, batch_size=4)
    exact(traced(case, run, FirstOrder(last=1)), traced(case, run, Unroll(last=1)))


def test_first_order_is_refused_for_a_metric_of_the_generator():
    case = cases.rival()
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    with pytest.raises(TraceError, match=r"depends on none of \['D'\].* Use `Unroll\(\)`"):
        traced(case, run, FirstOrder())


@pytest.mark.parametrize("adjoint", [Unroll(last=0), Unroll(last=9), FirstOrder(last=-1)])
def test_a_trace_longer_than_the_run_is_refused(adjoint):
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=8, batch_size=4)
    with pytest.raises(TraceError, match=r"`last` must be between 1 and the 8 moves"):
        traced(case, run, adjoint)


def test_every_adjoint_reports_its_moves():
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    for adjoint, total in [
        (Unroll(), 6),
        (Unroll(last=4), 4),
        (FirstOrder(), 6),
        (ForwardMode((0,), start=2), 4),
        (Implicit(depth=3), 5),
    ]:
        seen = []
        trace(
            case.game, case.data, run, case.metric, adjoint=adjoint,
            on_move=lambda done, total, seen=seen: seen.append((done, total)),
        )  # fmt: skip
        assert seen == [(done, total) for done in range(1, total + 1)]


def test_lowering_a_weight_a_little_does_what_was_traced():
    case = cases.rival()
    run = play(case.game, case.data, n_steps=40, batch_size=4)
    rows = torch.ones(8, 8, dtype=torch.float64) - 0.001 * torch.eye(8, dtype=torch.float64)
    effects = counterfactual_effects(case.game, case.data, run, [case.metric], rows)[:, 0]
    assert np.corrcoef(-0.001 * traced(case, run), effects)[0, 1] > 0.999
