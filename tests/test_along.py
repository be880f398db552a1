"""Influence averaged on the way to removal, against the integral that it approximates."""

from dataclasses import replace

import cases
import pytest
import torch

from counterplay._along import trace_along_removal
from counterplay._influence import trace
from counterplay._play import play
from counterplay._retrain import count_of, retrain
from counterplay.errors import TraceError


def traced(n=16, n_steps=40):
    """A regression in which a group's removal is far from linear in its weight."""
    case = cases.ridge(n=n, decay=0.01)
    run = play(case.game, case.data, n_steps=n_steps, batch_size=n)
    return case, run, trace(case.game, case.data, run, case.metric)


def test_it_is_the_mean_of_the_start_and_half_way():
    case, run, influence = traced()
    found = trace_along_removal(
        case.game, case.data, run, case.metric, influence, fraction=0.25
    )
    weights = torch.ones(16, dtype=torch.float64)
    weights[influence.harmful(4)] = 0.5
    halfway = retrain(case.game, case.data, run, weights=weights)
    there = trace(case.game, case.data, halfway, case.metric)
    expected = (influence.gradient + there.gradient) / 2
    torch.testing.assert_close(found.gradient, expected)
    assert found.value == influence.value
    assert torch.equal(found.weights, influence.weights)
    assert found.adjoint.endswith("half of it at half weight of 0.25")


@pytest.mark.parametrize("fraction", [0.25, 0.4])
def test_it_predicts_the_removal_of_the_group_better_than_the_start(fraction):
    case, run, influence = traced()
    group = influence.harmful(count_of(fraction, 16))
    after = retrain(case.game, case.data, run, without=group)
    true = case.metric.value(after.final) - influence.value
    found = trace_along_removal(
        case.game, case.data, run, case.metric, influence, fraction=fraction
    )
    assert abs(found.of_group(group) - true) < 0.7 * abs(influence.of_group(group) - true)


def test_an_influence_on_another_metric_is_refused():
    case, run, influence = traced(n_steps=2)
    with pytest.raises(TraceError, match="is on 'other', but 'slope' is to be averaged"):
        trace_along_removal(
            case.game, case.data, run, case.metric, replace(influence, metric="other")
        )
