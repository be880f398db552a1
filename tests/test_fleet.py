"""Fleets: runs depart from the unchanged one when they first differ, and end the same."""

from dataclasses import replace

import cases
import pytest
import torch
from torch import nn

from counterplay import games
from counterplay._fleet import against_vmap, first_draws, Fleet
from counterplay._numerics import Numerics
from counterplay._play import play
from counterplay._retrain import leave_out, retrain
from counterplay._trajectory import make_plan
from counterplay.errors import PlayError


GROUPS = [[5], [0, 3], [], [7], [1], [2, 6]]
SETTINGS = {
    **cases.EXTRAS,
    "dropout": {"dropout": 0.4},
    "n_critic": {"n_critic": 3},
    "simultaneous": {"simultaneous": True},
}


def fleet_of(n_steps=12, *, batch_size=2, since=0, vmapped=True, **options):
    case = cases.gan(**{"optimizer": "adam", **options})
    run = play(case.game, case.data, n_steps=n_steps, batch_size=batch_size)
    fleet = Fleet(case.game, case.data, run, [case.metric], since=since, vmapped=vmapped)
    return case, run, fleet


def assert_nearly(ours, theirs):
    assert ours.step == theirs.step
    for name, tensor in theirs.tensors().items():
        torch.testing.assert_close(ours.tensors()[name], tensor, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("since", [0, 5, 11])
@pytest.mark.parametrize("n_critic", [1, 2])
def test_an_instance_is_first_drawn_where_a_batch_first_holds_it(since, n_critic):
    case = cases.gan(n_critic=n_critic)
    plan = make_plan(case.data, batch_size=3, seed=4)
    found = first_draws(case.game, plan, since, 12).tolist()
    for instance in range(8):
        reading = [move for move in range(since, 12) if case.game.reads(move)]
        moves = [m for m in reading if instance in plan.index(case.game.n_reads(m))]
        assert found[instance] == min(moves, default=12)


def test_a_run_departs_with_the_first_of_its_instances_whose_weight_differs():
    _, run, fleet = fleet_of()
    rows = leave_out(run.plan.weights, GROUPS)
    rows[3, 2] = 0.5
    first = fleet.first
    expected = [first[[5]], first[[0, 3]], first.new_tensor([12]), first[[2, 7]]]
    assert fleet.departures(rows)[:4].tolist() == [int(some.min()) for some in expected]


@pytest.mark.parametrize("setting", SETTINGS)
def test_runs_that_join_late_end_where_they_would_from_the_start(setting):
    for since in (0, 5):
        case, run, fleet = fleet_of(since=since, **SETTINGS[setting])
        unchanged, *states = fleet.final_states(leave_out(run.plan.weights, GROUPS))
        assert_nearly(unchanged, run.final)
        for group, state in zip(GROUPS, states, strict=True):
            alone = retrain(case.game, case.data, run, without=group, since=since)
            assert_nearly(state, alone.final)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_shared_beginning_changes_no_bit_of_single_runs(setting):
    for since in (0, 5):
        case, run, fleet = fleet_of(since=since, vmapped=False, **SETTINGS[setting])
        effects = fleet(leave_out(run.plan.weights, GROUPS))
        before = case.metric.value(run.final)
        for group, effect in zip(GROUPS, effects, strict=True):
            alone = retrain(case.game, case.data, run, without=group, since=since)
            assert effect.item() == case.metric.value(alone.final) - before


def test_an_earlier_run_may_come_after_a_later_one():
    _, run, fleet = fleet_of(vmapped=False)
    rows = leave_out(run.plan.weights, GROUPS)
    rows = rows[fleet.departures(rows).argsort()]
    forwards = [fleet(row[None]) for row in rows]
    backwards = [fleet(row[None]) for row in rows.flip(0)]
    assert torch.equal(torch.cat(forwards), torch.cat(backwards[::-1]))


def test_moves_before_the_first_difference_are_played_once(monkeypatch):
    _, run, fleet = fleet_of(n_steps=8)
    widths, move = [], Fleet._move

    def count(self, unchanged, stacked, weights):
        widths.append((unchanged.step, len(weights)))
        return move(self, unchanged, stacked, weights)

    monkeypatch.setattr(Fleet, "_move", count)
    rows = leave_out(run.plan.weights, [[i] for i in range(8)])
    late = rows[fleet.first > 0]
    fleet.final_states(late)
    began = int(fleet.departures(late).min())
    assert began > 0
    assert widths == [
        (step, 1 + int((fleet.departures(late) <= step).sum())) for step in range(began, 8)
    ]


def test_runs_of_the_weights_as_they_were_have_no_effect():
    for vmapped in (True, False):
        _, run, fleet = fleet_of(vmapped=vmapped)
        assert fleet(run.plan.weights.repeat(2, 1)).tolist() == [[0.0], [0.0]]


def test_a_run_that_fails_is_named():
    *_, fleet = fleet_of(optimizer="sgd", vmapped=False)
    weights = torch.ones(8, dtype=torch.float64)
    weights[[2, 4]] = float("inf")
    with pytest.raises(PlayError, match=r"other weights at 2 instances, first \[2, 4\]"):
        fleet(weights[None])


def test_convolutions_on_a_cpu_and_rounded_moves_speak_against_many_at_once():
    case = cases.gan()
    plan = make_plan(case.data, batch_size=2, seed=0)
    assert against_vmap(case.game, plan) == ""
    rounded = replace(plan, numerics=Numerics(precision="bfloat16"))
    assert "bfloat16" in against_vmap(case.game, rounded)
    discriminator = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten())
    generator = nn.Sequential(nn.Linear(2, 9), nn.Unflatten(1, (1, 3, 3)))
    images = games.load("gan")(generator, discriminator, latent_dim=2)
    assert "convolutions are slow on a CPU" in against_vmap(images, plan)
