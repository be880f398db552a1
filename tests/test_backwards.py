import cases
import pytest
import torch

from counterplay._adjoint import Unroll
from counterplay._backwards import backwards
from counterplay._influence import trace
from counterplay._play import play
from counterplay._tape import graph_bytes
from counterplay._trajectory import recorded_move
from counterplay.errors import TraceError


def traced(case, run, **options):
    return trace(case.game, case.data, run, case.metric, adjoint=Unroll(**options)).gradient


def budgets(case, run):
    """From just enough for one move to enough for all."""
    state = run.final.n_bytes
    graph = graph_bytes(case.game, case.data, run.plan, run.final)
    return [3 * state + 2 * graph + extra * state for extra in (0, 1, 2, 4, 1_000)]


@pytest.mark.parametrize("every", [1, 5, 14])
def test_neither_checkpoints_nor_memory_change_a_bit(every):
    case = cases.combined("adam", "n_critic=3", "gradient penalty")
    plain = play(case.game, case.data, n_steps=14, batch_size=4, every=14)
    run = play(case.game, case.data, n_steps=14, batch_size=4, every=every)
    expected, short = traced(case, plain), traced(case, plain, last=9)
    for memory in budgets(case, run):
        assert torch.equal(traced(case, run, memory=memory), expected)
        assert torch.equal(traced(case, run, last=9, memory=memory), short)


def test_kernels_that_keep_no_graph_change_no_more_than_rounding():
    case = cases.combined("adam", "n_critic=3", "batch norm")
    run = play(case.game, case.data, n_steps=14, batch_size=4, every=5)
    expected = traced(case, run)
    for memory in budgets(case, run):
        found = traced(case, run, memory=memory)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-16)


def test_every_move_comes_once_from_the_last_to_the_first():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=20, batch_size=4, every=6)
    for memory in budgets(case, run):
        walk = backwards(case.game, case.data, run, start=3, stop=17, memory=memory)
        assert [tape.before.step for tape in walk] == list(range(16, 2, -1))


def test_no_move_is_no_walk():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    assert not list(backwards(case.game, case.data, run, start=2, stop=2, memory="1GiB"))


def test_ample_memory_plays_no_move_again(monkeypatch):
    case = cases.gan()
    run = play(case.game, case.data, n_steps=12, batch_size=4, every=6)
    played = []

    def counted(game, data, plan, state, *rest):
        played.append(state.step)
        return recorded_move(game, data, plan, state, *rest)

    monkeypatch.setattr("counterplay._trajectory.recorded_move", counted)
    traced(case, run)
    assert not played
    traced(case, run, memory=budgets(case, run)[0])
    assert len(played) == 2 * 15  # two segments of six moves, one at a time


def test_a_budget_below_one_move_is_refused():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    with pytest.raises(TraceError, match=r"A budget of 10 bytes is too small"):
        traced(case, run, memory=10)
