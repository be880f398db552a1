import cases
import pytest
import torch

from counterplay._adjoint import Unroll
from counterplay._forward_mode import ForwardMode
from counterplay._influence import trace
from counterplay._play import play
from counterplay.errors import TraceError


def traced(case, run, adjoint):
    return trace(case.game, case.data, run, case.metric, adjoint=adjoint).gradient


def exact(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-16)


@pytest.mark.parametrize("extra", cases.EXTRAS)
@pytest.mark.parametrize("schedule", cases.SCHEDULES)
def test_forward_mode_equals_unroll(schedule, extra):
    case = cases.combined("adam", schedule, extra)
    run = play(case.game, case.data, n_steps=8, batch_size=4)
    found = traced(case, run, ForwardMode(instances=(6, 1)))
    exact(found[[6, 1]], traced(case, run, Unroll())[[6, 1]])
    assert found.isnan().sum() == 6


def test_forward_mode_from_a_later_move_equals_a_truncated_unroll():
    case = cases.rival()
    run = play(case.game, case.data, n_steps=9, batch_size=4)
    found = traced(case, run, ForwardMode(instances=tuple(range(8)), start=4))
    exact(found, traced(case, run, Unroll(last=5)))


@pytest.mark.parametrize("rows", [(), (-1,), (0, 8)])
def test_tangents_of_instances_that_do_not_exist_are_refused(rows):
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=2, batch_size=8)
    with pytest.raises(TraceError, match=r"`instances` must name rows from 0 to 7"):
        traced(case, run, ForwardMode(rows))
