"""Cleansing: who is removed, what it gains, and that no data has two roles."""

from dataclasses import replace

import cases
import numpy as np
import pytest
import torch
from scipy import stats

from counterplay._cleanse import (
    cleanse,
    cleanse_iteratively,
    Cleansing,
    compare,
    require_disjoint,
)
from counterplay._forward_mode import ForwardMode
from counterplay._influence import trace
from counterplay._play import play
from counterplay._retrain import retrain
from counterplay.errors import DataError
from counterplay.game import Columns
from counterplay.metrics.target import of_samples, of_state


def distance_to(target, name, *, reads=(), higher_is_better=False):
    """How far the one number of `cases.mean` is from where it should be."""
    sign = 1.0 if higher_is_better else -1.0
    metric = of_state(
        lambda params: -sign * (params["D"]["weight"][0, 0] - target).square(),
        name=name,
        higher_is_better=higher_is_better,
    )
    return replace(metric, reads=reads)


def spoiled(n_steps=60, batch_size=15):
    """Numbers around 0 and three, the last, that pull their mean upwards."""
    case = cases.mean()
    x = torch.cat(
        [case.data["x"], torch.full((4, 1), 0.1), torch.full((3, 1), 6.0)]
    ).double()
    data = Columns({"x": x}, tuple(f"row {i}" for i in range(15)))
    run = play(case.game, data, n_steps=n_steps, batch_size=batch_size)
    return case.game, data, run


def test_the_harmful_are_removed_and_the_metric_gains():
    game, data, run = spoiled()
    valid, test = distance_to(0.0, "valid"), distance_to(0.05, "test")
    scores = {"first rows": -torch.arange(15.0, dtype=torch.float64)}
    found = cleanse(
        game, data, run, valid, report=[test], scores=scores, fractions=(0.07, 0.2)
    )
    assert found.methods == ("influence on valid", "first rows")
    assert set(found.removed["influence on valid"]) == {"row 12", "row 13", "row 14"}
    assert found.removed["first rows"] == ("row 0", "row 1", "row 2")
    for metric in (valid, test):
        assert found.before[metric.name] == pytest.approx(metric.value(run.final))
        for i, groups in enumerate([([12], [12, 13, 14]), ([0], [0, 1, 2])]):
            for j, group in enumerate(groups):
                after = metric.value(retrain(game, data, run, without=group).final)
                assert found.after[metric.name][i, j] == pytest.approx(after, rel=1e-9)
    gains = found.gains("test")
    assert (gains[0] > 0).all()
    assert (gains[0] > gains[1]).all()


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_gain_is_positive_where_the_metric_improves(higher_is_better):
    game, data, run = spoiled()
    metric = distance_to(0.0, "valid", higher_is_better=higher_is_better)
    found = cleanse(game, data, run, metric, report=[], fractions=(0.2,))
    assert found.gains("valid")[0, 0] > 0
    (row,) = found.rows()
    assert row["gain"] == pytest.approx(found.gains("valid")[0, 0])
    sign = 1 if higher_is_better else -1
    assert sign * (row["after"] - row["before"]) == pytest.approx(row["gain"])
    assert (row["metric"], row["method"], row["fraction"]) == (
        "valid",
        "influence on valid",
        0.2,
    )


def test_an_influence_that_is_given_is_not_traced_again():
    game, data, run = spoiled()
    metric = distance_to(0.0, "valid")
    given = {"influence, at last": torch.arange(15.0)}
    found = cleanse(game, data, run, metric, report=[], scores=given, fractions=(0.2,))
    assert found.methods == ("influence, at last",)
    assert found.removed["influence, at last"] == ("row 14", "row 13", "row 12")


def test_only_the_last_moves_may_be_retrained():
    game, data, run = spoiled()
    metric = distance_to(0.0, "valid")
    found = cleanse(game, data, run, metric, report=[], fractions=(0.2,), since=55)
    after = metric.value(retrain(game, data, run, without=[12, 13, 14], since=55).final)
    assert found.after["valid"][0, 0] == pytest.approx(after)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_fraction_must_leave_something_and_remove_something(fraction):
    game, data, run = spoiled(n_steps=2)
    with pytest.raises(DataError, match=r"`fractions` must lie between 0 and 1, got"):
        cleanse(game, data, run, distance_to(0.0, "v"), report=[], fractions=(fraction,))


@pytest.mark.parametrize("score", [torch.zeros(14), torch.full((15,), torch.nan)])
def test_scores_that_do_not_fit_are_refused(score):
    game, data, run = spoiled(n_steps=2)
    with pytest.raises(DataError, match=r"scores of 'mine' must be 15 numbers without NaN"):
        cleanse(game, data, run, distance_to(0.0, "v"), report=[], scores={"mine": score})


def test_an_influence_on_a_few_instances_is_no_ranking():
    game, data, run = spoiled(n_steps=2)
    with pytest.raises(DataError, match=r"scores of 'influence on v' must be 15 numbers"):
        cleanse(
            game, data, run, distance_to(0.0, "v"), report=[], adjoint=ForwardMode((0, 1))
        )


def held_out(*ids, learnt_from=()):
    metric = distance_to(0.0, "m", reads=ids)
    return replace(metric, learnt_from=tuple(learnt_from))


@pytest.mark.parametrize(
    ("valid", "test", "text"),
    [
        (
            held_out("0-1"),
            held_out("t"),
            "training and validation data.*'0-1'.*three disjoint",
        ),
        (held_out("v"), held_out("0-7"), "training and test data.*'0-7'"),
        (held_out("v", "w"), held_out("w"), "validation and test data.*'w'"),
        (
            held_out("v", learnt_from=["0-0"]),
            held_out("t"),
            "feature map's training.*'0-0'",
        ),
        (held_out("v", learnt_from=["t"]), held_out("t"), "feature map's training.*'t'"),
        (held_out("v"), held_out("t", learnt_from=["t"]), "feature map's training.*'t'"),
    ],
)
def test_no_instance_has_two_roles(valid, test, text):
    with pytest.raises(DataError, match=f"1 instances are in .*{text}"):
        require_disjoint(cases.points(), valid, [held_out("other"), test])


def test_three_disjoint_splits_are_accepted():
    require_disjoint(cases.points(), held_out("v", learnt_from=["v"]), [held_out("t")])


def test_a_metric_on_training_data_is_refused_by_every_verb():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=2, batch_size=4)
    options = {"higher_is_better": True, "n": 5, "reference": case.data}
    metric = of_samples(cases.wave, case.game, **options)
    with pytest.raises(DataError, match="compares with all of the training data"):
        cleanse(case.game, case.data, run, metric, report=[])
    with pytest.raises(DataError, match="compares with all of the training data"):
        cleanse_iteratively(case.game, case.data, run, case.metric, report=[metric])


def cleansing(valid, test):
    """Two methods at two fractions."""
    return Cleansing(
        methods=("a", "b"),
        fractions=(0.1, 0.2),
        higher_is_better={"valid": False, "test": True},
        before={"valid": 1.0, "test": 1.0},
        after={"valid": np.array(valid), "test": np.array(test)},
        removed={"a": (), "b": ()},
    )


def test_fractions_are_chosen_on_validation_data_and_judged_on_test_data():
    random = np.random.default_rng(0)
    tests = 1.0 + random.normal(size=(6, 2, 2))
    # On validation data lower is better: a is best at 0.2, b at 0.1, on average.
    ones = [cleansing([[0.9, 0.2 + 0.1 * i], [0.5, 0.8]], tests[i]) for i in range(6)]
    found = compare(ones, chosen_by="valid")
    assert [(c.metric, c.method, c.fraction) for c in found] == [
        ("test", "a", 0.2),
        ("test", "b", 0.1),
    ]
    a, b = tests[:, 0, 1], tests[:, 1, 0]
    expected = stats.ttest_1samp(a, 1.0, alternative="greater")
    assert found[0].gain.value == pytest.approx(a.mean() - 1.0)
    assert found[0].gain.p_value == pytest.approx(expected.pvalue)
    against = found[0].against["b"]
    assert against.value == pytest.approx((a - b).mean())
    assert against.p_value == pytest.approx(
        stats.ttest_rel(a, b, alternative="greater").pvalue
    )
    assert found[1].against["a"].p_value == pytest.approx(1 - against.p_value)


def test_many_small_removals_improve_and_stop():
    game, data, run = spoiled(batch_size=5)
    valid, test = distance_to(0.0, "valid"), distance_to(0.05, "test")
    seen = []
    best, rounds = cleanse_iteratively(
        game,
        data,
        run,
        valid,
        report=[test],
        step=0.2,
        n_rounds=8,
        on_round=seen.append,
    )
    assert rounds == seen
    assert len(rounds) <= 8
    assert rounds[0].accepted
    assert set(rounds[0].removed.tolist()) == {12, 13, 14}
    values = [valid.value(run.final)] + [r.valid for r in rounds if r.accepted]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    assert valid.value(best.final) == values[-1]
    for r in rounds:
        again = retrain(game, data, run, without=r.removed)
        assert valid.value(again.final) == r.valid
        assert test.value(again.final) == r.test["test"]
    steps = [r.step for r in rounds]
    for r, step, following in zip(rounds, steps, steps[1:], strict=False):
        assert following == (step if r.accepted else step // 2)
    assert len(rounds) == 8 or not rounds[-1].accepted
    assert (best.plan.weights > 0).sum() >= 5


def test_at_least_a_batch_is_left():
    case = cases.ridge()
    run = play(case.game, case.data, n_steps=4, batch_size=7)
    best, rounds = cleanse_iteratively(case.game, case.data, run, case.metric, step=0.9)
    assert [r.step for r in rounds] == [1]
    assert (best.plan.weights > 0).sum() >= 7


def test_the_second_round_follows_the_influence_at_the_first_ones_weights():
    case = cases.ridge(n=16)
    run = play(case.game, case.data, n_steps=40, batch_size=4)
    _, rounds = cleanse_iteratively(
        case.game, case.data, run, case.metric, step=2 / 16, n_rounds=2
    )
    assert rounds[0].accepted
    first = retrain(case.game, case.data, run, without=rounds[0].removed)
    harm = trace(case.game, case.data, first, case.metric).harm
    harm[rounds[0].removed] = -torch.inf
    expected = {*rounds[0].removed.tolist(), *harm.argsort(descending=True)[:2].tolist()}
    assert set(rounds[1].removed.tolist()) == expected
