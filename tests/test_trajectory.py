"""The record: draws are functions of the seed, and every state can be had again."""

from dataclasses import replace

import cases
import pytest
import torch

from counterplay._play import play
from counterplay._trajectory import draw, make_plan, weights_of
from counterplay.errors import DataError, ReplayError, TraceError


def same(ours, theirs):
    ours, theirs = ours.tensors(), theirs.tensors()
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[k], theirs[k]) for k in ours
    )


def test_an_epoch_visits_every_instance_once_and_drops_a_remainder():
    plan = make_plan(cases.points(11), batch_size=3, seed=4)
    assert plan.batches_per_epoch == 3
    epochs = [torch.cat([plan.index(3 * e + i) for i in range(3)]) for e in range(2)]
    for epoch in epochs:
        assert len(epoch.unique()) == 9
        assert set(epoch.tolist()) <= set(range(11))
    assert not torch.equal(*epochs)


def test_every_number_of_a_plan_changes_its_fingerprint():
    data = cases.points()
    plans = [
        make_plan(data, batch_size=4, seed=0),
        make_plan(data, batch_size=4, seed=1),
        make_plan(data, batch_size=2, seed=0),
        make_plan(data, batch_size=4, seed=0, weights=torch.full((8,), 0.5)),
        make_plan(cases.points(seed=1), batch_size=4, seed=0),
    ]
    assert len({plan.fingerprint for plan in plans}) == len(plans)
    assert make_plan(data, batch_size=4, seed=0).fingerprint == plans[0].fingerprint


def test_a_move_without_readers_consumes_no_batch():
    case = cases.triangle()  # A, B, BC, AC, B: the moves 0, 2 and 3 read
    plan = make_plan(case.data, batch_size=2, seed=0)
    state, read = case.game.initial(), []
    for move in range(8):
        batch, noise = draw(case.game, case.data, plan, replace(state, step=move))
        assert len(noise["z"]) == 2
        read.append(batch.index.tolist())
    assert [len(index) for index in read] == [2, 0, 2, 2, 0, 2, 0, 2]
    flat = [i for index in read for i in index]
    assert sorted(flat[:8]) == list(range(8))


def test_batches_and_weights_come_in_the_dtype_of_the_parameters():
    case = cases.gan()
    data = case.data.to(dtype=torch.float32)
    plan = make_plan(data, batch_size=4, seed=0, weights=torch.rand(8, dtype=torch.float32))
    state = case.game.initial()
    batch, noise = draw(case.game, data, plan, state)
    assert batch["x"].dtype == noise["z"].dtype == torch.float64
    assert weights_of(plan, batch, state).dtype == torch.float64


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_every_state_is_replayed_bit_for_bit(dropout):
    options = {**cases.EXTRAS["everything"], "dropout": dropout}
    case = cases.gan(optimizer="adam", **options)
    full = play(case.game, case.data, n_steps=9, batch_size=4, every=1)
    sparse = play(case.game, case.data, n_steps=9, batch_size=4, every=4)
    assert sorted(sparse.checkpoints) == [0, 4, 8, 9]
    torch.rand(3)  # other draws from the global generator change nothing
    for move, state in full.checkpoints.items():
        assert same(sparse.state_at(case.game, case.data, move), state)


def test_the_last_epochs_begin_where_their_first_batch_is_read():
    case = cases.gan(n_critic=3)  # D D D G, two batches per epoch
    run = play(case.game, case.data, n_steps=12, batch_size=4)
    for n_epochs, expected in [(1, 9), (2, 6), (3, 4), (4, 1), (5, 0), (100, 0)]:
        begin = run.epochs_back(case.game, n_epochs)
        assert case.game.n_reads(begin) == max(9 - 2 * n_epochs, 0)
        assert begin == expected
    for n_epochs in (0, -1):
        with pytest.raises(TraceError, match=r"epochs to go back must be at least 1, got"):
            run.epochs_back(case.game, n_epochs)


def test_another_game_is_found_out():
    case, other = cases.gan(lr_d=0.1), cases.gan(lr_d=0.11)
    run = play(case.game, case.data, n_steps=8, batch_size=4, every=4)
    with pytest.raises(
        ReplayError, match=r"differs from the recorded run at move 4.*number of threads"
    ):
        run.replay(other.game, case.data, run.checkpoints[0], 8)


def test_a_state_computed_with_its_graph_may_differ_by_rounding():
    case = cases.gan(batch_norm=True)
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    state = run.checkpoints[2]

    def scaled(factor):
        tensors = {
            name: tensor * factor if tensor.is_floating_point() else tensor
            for name, tensor in state.tensors().items()
        }
        return state.with_tensors(tensors)

    rounded = scaled(1 + 1e-14)
    run.check_nearly(rounded)
    with pytest.raises(ReplayError, match=r"at move 2"):
        run.check(rounded)
    with pytest.raises(ReplayError, match=r"differs from the recorded run at move 2"):
        run.check_nearly(scaled(1 + 1e-5))
    run.check_nearly(replace(scaled(2.0), step=3))  # nothing is recorded there
    run.check(replace(scaled(2.0), step=3))


def test_changed_data_are_refused():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    with pytest.raises(
        DataError, match=r"is not what the run was recorded on .*original data"
    ):
        run.state_at(case.game, cases.points(seed=1), 2)
    renamed = replace(case.data, ids=tuple("abcdefgh"))
    with pytest.raises(DataError, match=r"is not what the run was recorded on"):
        run.require(renamed, 0)


def test_a_record_that_does_not_reach_back_is_refused():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=10, batch_size=4, since=6)
    with pytest.raises(
        TraceError, match=r"from move 6 on, but move 5 .*`Unroll\(last=4\)`"
    ):
        run.state_at(case.game, case.data, 5)


def test_a_record_of_the_end_alone_offers_no_shorter_trace():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=10, batch_size=4, since=10)
    text = r"but move 3 is needed\. Record the whole run with `play\(\.\.\., since=0\)`"
    with pytest.raises(TraceError, match=text):
        run.state_at(case.game, case.data, 3)


def test_a_record_that_ends_before_is_refused():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    with pytest.raises(TraceError, match=r"ends at move 4; there is no move 5"):
        run.state_at(case.game, case.data, 5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 9}, "has 8 instances, fewer than one batch of 9.*at most 8"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"weights": torch.ones(7)}, r"must hold 8 finite numbers, .* got shape \(7,\)"),
        ({"weights": torch.full((8,), torch.nan)}, "must hold 8 finite numbers"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options, text):
    with pytest.raises(DataError, match=text):
        make_plan(cases.points(), **{"batch_size": 4, "seed": 0, **options})
