"""A replay that differs from the record says where and how far, and may be allowed to."""

from dataclasses import replace

import cases
import numpy as np
import pytest
import torch

from counterplay._adjoint import Unroll
from counterplay._drift import drift_between, summary
from counterplay._forward_mode import ForwardMode
from counterplay._influence import Influence, trace
from counterplay._play import play
from counterplay.errors import ReplayError


def recorded(**options):
    case = cases.gan()
    return case, play(case.game, case.data, n_steps=8, batch_size=4, seed=1, **options)


def drifting(game, size):
    """The same game with other arithmetic: what the generator minimises is scaled."""
    loss = game.losses["G"]

    def scaled(*arguments):
        return loss(*arguments) * (1 + size)

    return replace(game, losses={**game.losses, "G": scaled})


def perturbed(state, name, factor):
    tensors = state.tensors()
    return state.with_tensors({**tensors, name: tensors[name] * factor})


def test_the_largest_difference_is_named_relative_to_its_tensor():
    state = cases.gan().game.initial()
    name = next(name for name in state.tensors() if name.startswith("params/G"))
    found = drift_between(perturbed(state, name, 1 + 1e-6), state)
    assert found.name == name
    assert found.relative == pytest.approx(1e-6, rel=1e-6)
    assert (found.n_differing, found.n_tensors) == (1, len(state.tensors()))
    assert f"in 1 of {found.n_tensors} tensors, most in '{name}', by 1e-06 of" in str(found)
    assert drift_between(state, state).relative == 0
    assert drift_between(perturbed(state, name, torch.nan), state).relative == float("inf")


def test_a_summary_names_the_worst_move():
    assert summary({}) == ""
    text = summary({3: 1e-9, 6: 2.5e-7, 9: 0.0})
    assert (
        "at most 2.5e-07 of the largest entry of a tensor (at move 6; 3 compared)" in text
    )


def test_the_error_says_where_and_how_far_and_what_to_do():
    case, run = recorded(every=4)
    other = drifting(case.game, 1e-3)
    with pytest.raises(ReplayError) as error:
        run.replay(other, case.data, run.checkpoints[0], 8)
    text = str(error.value)
    assert "at move 4, after the checkpoint of move 0, in " in text
    assert " tensors, most in 'params/" in text
    assert "`torch.get_num_threads()` is 1" in text
    assert "`tolerate_drift=True` (`--tolerate-drift`)" in text


def test_a_record_whose_state_is_not_at_hand_still_says_where():
    case, run = recorded(every=4)
    run = replace(run, checkpoints={0: run.checkpoints[0]})
    with pytest.raises(ReplayError, match=r"at move 4, after the checkpoint of move 0\. U"):
        run.tolerant().replay(drifting(case.game, 0.1), case.data, run.checkpoints[0], 8)


def test_a_tolerant_replay_goes_on_from_the_record():
    case, run = recorded(every=4)
    tolerant = run.tolerant()
    assert tolerant.tolerant() is tolerant
    state = tolerant.replay(drifting(case.game, 1e-3), case.data, run.checkpoints[0], 8)
    assert all(torch.equal(state.tensors()[k], v) for k, v in run.final.tensors().items())
    assert set(tolerant.drift) == {4, 8}
    assert all(1e-9 < relative < 0.1 for relative in tolerant.drift.values())
    assert run.drift is None


@pytest.mark.parametrize("adjoint", [Unroll(), ForwardMode((0, 1, 2))], ids=repr)
def test_a_trace_with_drift_is_near_the_exact_one_and_says_how_near(adjoint):
    case, run = recorded(every=4)
    exact = trace(case.game, case.data, run, case.metric, adjoint=adjoint)
    assert exact.drift == {}
    other = drifting(case.game, 1e-4)
    with pytest.raises(ReplayError, match=r"differs from the recorded run at move [48]"):
        trace(other, case.data, run, case.metric, adjoint=adjoint)
    found = trace(other, case.data, run, case.metric, adjoint=adjoint, tolerate_drift=True)
    assert set(found.drift) == {4, 8}
    assert 0 < max(found.drift.values()) < 1e-2
    np.testing.assert_allclose(found.gradient, exact.gradient, rtol=1e-2, atol=1e-6)
    assert not torch.equal(found.gradient, exact.gradient)


def test_the_drift_is_saved_with_the_influence(tmp_path):
    case, run = recorded(every=4)
    exact = trace(case.game, case.data, run, case.metric)
    for drift in ({}, {4: 1e-7, 8: float("inf")}):
        replace(exact, drift=drift).save(tmp_path / "influence.npz")
        assert Influence.load(tmp_path / "influence.npz").drift == drift
