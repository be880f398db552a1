"""What a trace gives back: signs, ranks, files."""

from dataclasses import replace

import cases
import numpy as np
import pytest
import torch

from counterplay._adjoint import Unroll
from counterplay._forward_mode import ForwardMode
from counterplay._influence import Influence, trace
from counterplay._play import play
from counterplay.errors import RunError, TraceError


def influence(gradient, *, higher_is_better=True, weights=None):
    gradient = torch.tensor(gradient, dtype=torch.float64)
    return Influence(
        metric="some metric",
        higher_is_better=higher_is_better,
        value=1.5,
        gradient=gradient,
        weights=torch.ones(len(gradient), dtype=torch.float64)
        if weights is None
        else weights,
        ids=tuple("abcdefgh"[: len(gradient)]),
        adjoint="Unroll()",
    )


def test_removal_is_the_metric_without_minus_the_metric_with():
    case = cases.mean()  # its metric converges to the mean of x, whose weights it follows
    run = play(case.game, case.data, n_steps=300, batch_size=8)
    found = trace(case.game, case.data, run, case.metric)
    x = case.data["x"][:, 0]
    without = torch.stack([(x.sum() - x[j]) / 8 - x.mean() for j in range(8)])
    assert found.value == pytest.approx(x.mean().item())
    # Removal also takes away an instance's curvature, whose share is x.mean() / 8.
    torch.testing.assert_close(found.removal, without + x.mean() / 8)


def test_removal_of_a_lowered_instance_is_in_proportion_to_its_weight():
    weights = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    found = influence([2.0, 2.0, 2.0], weights=weights)
    assert found.removal.tolist() == [-2.0, -1.0, 0.0]
    assert found.of_group(torch.tensor([0, 1])) == -3.0


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_harmful_and_helpful_follow_the_direction_of_the_metric(higher_is_better):
    found = influence([0.5, -2.0, 1.0, -0.1], higher_is_better=higher_is_better)
    order = [1, 3, 0, 2]  # removal raises the metric most first
    if not higher_is_better:
        order.reverse()
    assert found.harmful(4).tolist() == order
    assert found.helpful(2).tolist() == order[::-1][:2]
    assert found.harmful(0).tolist() == []
    assert (found.harm[found.harmful(1)] > 0).all()


def test_instances_that_were_not_traced_have_no_rank():
    found = influence([0.5, torch.nan, 1.0])
    assert found.harmful(2).tolist() == [0, 2]
    with pytest.raises(
        TraceError, match=r"`k` must be between 0 and the 2 traced .* got 3"
    ):
        found.helpful(3)
    with pytest.raises(TraceError, match=r"got -1"):
        found.harmful(-1)


def test_a_trace_says_what_it_is():
    case = cases.rival()
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    found = trace(case.game, case.data, run, case.metric, adjoint=Unroll(last=2))
    assert found.metric == case.metric.name
    assert found.value == case.metric.value(run.final)
    assert found.ids == case.data.ids
    assert found.adjoint == "Unroll(last=2)"
    assert found.gradient.dtype == torch.float64
    both = trace(case.game, case.data, run, [case.metric, case.metric])
    assert torch.equal(both[0].gradient, both[1].gradient)


@pytest.mark.parametrize("gradient", [[0.1, -0.2], [float("nan"), 1e-300]])
def test_an_influence_survives_its_file(tmp_path, gradient):
    found = influence(gradient, higher_is_better=False)
    found.save(tmp_path / "influence.npz")
    again = Influence.load(tmp_path / "influence.npz")
    assert replace(again, gradient=0, weights=0) == replace(found, gradient=0, weights=0)
    assert torch.equal(again.gradient.nan_to_num(), found.gradient.nan_to_num())
    assert torch.equal(again.weights, found.weights)


def test_a_file_that_holds_no_influence_is_named(tmp_path):
    path = tmp_path / "influence.npz"
    text = r"influence.npz' holds no influence: .* Trace the run again"
    with pytest.raises(RunError, match=text):
        Influence.load(path)
    influence([0.1, 0.2]).save(path)
    whole = path.read_bytes()
    for content in (b"", b"not numpy's", whole[:-20], whole[:60] + b"?" * 9 + whole[69:]):
        path.write_bytes(content)
        with pytest.raises(RunError, match=text):
            Influence.load(path)
    np.savez(path, something=np.ones(3))
    with pytest.raises(RunError, match=text):
        Influence.load(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(RunError, match=text):
        Influence.load(path)


def test_a_run_of_one_epoch_traces_each_instance_once():
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=2, batch_size=4)
    found = trace(case.game, case.data, run, case.metric, adjoint=ForwardMode((0, 7)))
    assert found.gradient.isnan().tolist() == [False, *[True] * 6, False]


@pytest.mark.parametrize("last", [None, 30])
def test_what_the_stretches_of_a_run_contribute_sums_to_the_influence(last, tmp_path):
    case = cases.rival()
    run = play(case.game, case.data, n_steps=40, batch_size=4)
    found = trace(case.game, case.data, run, case.metric, adjoint=Unroll(last=last))
    assert found.by_stretch is not None
    assert found.by_stretch.shape == (len(found.stretches) - 1, len(case.data))
    assert (found.stretches[0], found.stretches[-1]) == (40 - (last or 40), 40)
    torch.testing.assert_close(
        found.by_stretch.sum(0).double(), found.gradient, rtol=1e-5, atol=1e-9
    )
    # What the last moves contribute does not depend on how far the trace goes back.
    begin = found.stretches[-2]
    late = trace(case.game, case.data, run, case.metric, adjoint=Unroll(last=40 - begin))
    torch.testing.assert_close(
        found.by_stretch[-1].double(), late.gradient, rtol=1e-5, atol=1e-9
    )
    found.save(tmp_path / "a.npz")
    again = Influence.load(tmp_path / "a.npz")
    assert again.stretches == found.stretches
    torch.testing.assert_close(again.by_stretch, found.by_stretch)


def test_a_trace_that_does_not_go_through_the_run_has_no_stretches():
    case = cases.rival()
    run = play(case.game, case.data, n_steps=40, batch_size=4)
    found = trace(case.game, case.data, run, case.metric, adjoint=ForwardMode((0, 1)))
    assert (found.by_stretch, found.stretches) == (None, ())
