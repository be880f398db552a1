"""Predicted against true changes, and the verdict on whether to believe them."""

from dataclasses import replace

import cases
import numpy as np
import pytest
import torch
from scipy import stats

from counterplay import _statistics
from counterplay._adjoint import FirstOrder, Unroll
from counterplay._influence import trace
from counterplay._play import play
from counterplay._retrain import retrain
from counterplay._verify import Comparison, judge, verify
from counterplay.errors import TraceError
from counterplay.metrics.target import of_state


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(_statistics, "N_RESAMPLES", 120)


def linear_regression(n_steps=30):
    case = cases.ridge(n=16)
    return case, play(case.game, case.data, n_steps=n_steps, batch_size=16)


def influence_of(case, run, adjoint=Unroll()):  # noqa: B008
    return trace(case.game, case.data, run, case.metric, adjoint=adjoint)


def test_what_is_compared_is_the_prediction_and_the_retrained_change():
    case, run = linear_regression()
    influence = influence_of(case, run)
    instances = torch.tensor([3, 0, 9])
    found = verify(
        case.game, case.data, run, case.metric, influence,
        instances=instances, lowered=(0.1, 1.0),
    )  # fmt: skip
    before = case.metric.value(run.final)
    assert [c.size for c in found.comparisons] == [0.1, 1.0]
    for comparison in found.comparisons:
        assert comparison.what == "instance"
        for j, predicted, actual in zip(
            instances, comparison.predicted, comparison.actual, strict=True
        ):
            weights = torch.ones(16, dtype=torch.float64)
            weights[j] -= comparison.size
            after = case.metric.value(
                retrain(case.game, case.data, run, weights=weights).final
            )
            assert actual == pytest.approx(after - before, rel=1e-9)
            assert predicted == pytest.approx(
                -comparison.size * influence.gradient[j].item()
            )


def test_subsets_are_predicted_by_the_sum_of_their_instances():
    case, run = linear_regression()
    influence = influence_of(case, run)
    found = verify(
        case.game, case.data, run, case.metric, influence,
        instances=4, subsets=5, fractions=(0.25,),
    )  # fmt: skip
    subset = found.comparisons[-1]
    assert (subset.what, subset.size, len(subset.actual)) == ("subset", 0.25, 5)
    assert set(subset.agreement()) == {"pearson", "spearman"}
    # Four of sixteen instances each; brute force over all of them finds each prediction.
    quadruples = torch.combinations(torch.arange(16), 4)
    sums = influence.removal[quadruples].sum(1).numpy()
    for predicted, actual in zip(subset.predicted, subset.actual, strict=True):
        group = quadruples[np.abs(sums - predicted).argmin()]
        after = case.metric.value(retrain(case.game, case.data, run, without=group).final)
        assert after - case.metric.value(run.final) == pytest.approx(actual, rel=1e-9)
    names = {row["measure"] for row in found.rows() if row["change"] == "subset"}
    assert names == {"pearson", "linear datamodeling score"}


def test_a_linear_run_is_attributable():
    case, run = linear_regression()
    found = verify(
        case.game, case.data, run, case.metric, influence_of(case, run), instances=16
    )
    verdict = found.verdict["Unroll(last=None)"]
    assert verdict.attributable
    assert verdict.advice == ()
    assert str(verdict).startswith("Attributable: lowering weights by 0.1 correlates 1.0")
    assert sorted(found.instances.tolist()) == list(range(16))


def test_several_adjoints_are_judged_on_the_same_runs():
    case, run = linear_regression()
    adjoints = (Unroll(), FirstOrder(last=3))
    influences = [influence_of(case, run, adjoint) for adjoint in adjoints]
    runs = []
    found = verify(
        case.game, case.data, run, case.metric, influences, instances=5, on_runs=runs.append
    )
    assert runs == [10]
    assert list(found.verdict) == [repr(adjoint) for adjoint in adjoints]
    first, second = found.comparisons[:2]
    assert np.array_equal(first.actual, second.actual)
    assert not np.allclose(first.predicted, second.predicted)


def test_several_metrics_are_measured_on_the_same_runs():
    case, run = linear_regression()
    square = of_state(
        lambda p: case.metric.measure.function(p).square(),
        name="square",
        higher_is_better=False,
    )
    metrics, runs = [case.metric, square], []
    influences = trace(case.game, case.data, run, metrics)
    options = {"instances": 5, "subsets": 3, "fractions": (0.25,)}
    found = verify(
        case.game, case.data, run, metrics, influences, on_runs=runs.append, **options
    )
    assert runs == [13]
    for metric, influence, agreement in zip(metrics, influences, found, strict=True):
        alone = verify(case.game, case.data, run, metric, influence, **options)
        assert agreement.metric == alone.metric == metric.name
        assert agreement.rows() == alone.rows()


def test_a_bank_keeps_what_was_retrained():
    case, run = linear_regression(n_steps=5)
    bank, influence = {}, influence_of(case, run)
    options = {"instances": 4, "lowered": (1.0,), "bank": bank}
    one = verify(case.game, case.data, run, case.metric, influence, **options)
    assert len(bank) == 4
    two = verify(case.game, case.data, run, case.metric, influence, **options)
    assert len(bank) == 4
    assert one.rows() == two.rows()


def test_the_text_holds_every_number():
    case, run = linear_regression()
    found = verify(
        case.game,
        case.data,
        run,
        case.metric,
        influence_of(case, run),
        instances=8,
        subsets=3,
    )
    text = str(found)
    assert text.startswith("slope, 8 instances\n")
    assert text.count("\n") == len(found.rows()) + 1
    for word in ("kendall", "jaccard", "linear datamodeling score", "p=", "Attributable"):
        assert word in text
    assert len(found.rows()) == 2 * 4 + 3 * 2
    row = next(r for r in found.rows() if r["measure"] == "kendall" and r["size"] == 1.0)
    removal = found.comparisons[1]
    expected = stats.kendalltau(removal.predicted, removal.actual).statistic
    assert row["value"] == pytest.approx(expected)
    assert row["low"] <= row["value"] + 1e-12
    assert row["value"] <= row["high"] + 1e-12


def test_the_influence_on_another_metric_is_refused():
    case, run = linear_regression(n_steps=2)
    other = replace(influence_of(case, run), metric="other")
    with pytest.raises(
        TraceError,
        match=r"are on \['other'\], but \['slope'\] are to be .*'other' is in only one",
    ):
        verify(case.game, case.data, run, case.metric, other)


def test_nothing_lowered_is_nothing_to_judge_by():
    case, run = linear_regression(n_steps=2)
    with pytest.raises(
        TraceError, match=r"`lowered` is empty, .*Use `lowered=\(0.1, 1.0\)"
    ):
        verify(case.game, case.data, run, case.metric, influence_of(case, run), lowered=())


@pytest.mark.parametrize("instances", [0, torch.tensor([16]), torch.tensor([-1, 0])])
def test_instances_that_do_not_exist_are_refused(instances):
    case, run = linear_regression(n_steps=2)
    found = influence_of(case, run)
    with pytest.raises(TraceError, match=r"`instances` must be at least 1, or rows from 0"):
        verify(case.game, case.data, run, case.metric, found, instances=instances)


def test_what_is_left_out_already_is_not_left_out_again():
    case, run = linear_regression(n_steps=2)
    less = retrain(case.game, case.data, run, without=[0, 3])
    found = influence_of(case, less)
    agreement = verify(case.game, case.data, less, case.metric, found)
    assert set(agreement.instances.tolist()) == set(range(len(case.data))) - {0, 3}


def compared(size, predicted, actual):
    return Comparison("Unroll()", "instance", size, np.array(predicted), np.array(actual))


def test_a_run_that_is_not_smooth_is_not_attributable():
    random = np.random.default_rng(0)
    predicted = random.normal(size=40)
    verdict = judge(
        [
            compared(1.0, predicted, random.normal(size=40)),
            compared(0.1, predicted, random.normal(size=40)),
        ],
        "Unroll()",
    )
    assert not verdict.attributable
    assert "not smooth in the weights" in verdict.reason
    assert len(verdict.advice) == 6
    text = str(verdict)
    assert text.startswith("NOT attributable: lowering weights by 0.1 correlates")
    assert "\n  try a lower learning rate" in text


def test_a_removal_outside_the_linear_range_is_not_attributable():
    random = np.random.default_rng(0)
    predicted = random.normal(size=40)
    verdict = judge(
        [compared(0.1, predicted, 2 * predicted), compared(1.0, predicted, -predicted)],
        "Unroll()",
    )
    assert not verdict.attributable
    assert "outside the linear range" in verdict.reason


def test_few_instances_prove_nothing():
    verdict = judge([compared(1.0, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])], "Unroll()")
    assert not verdict.attributable  # tau is 1, but p is 1/6
    assert verdict.reason.endswith("too few instances to tell")
