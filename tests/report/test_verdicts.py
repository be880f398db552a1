import json

import numpy as np
import pytest
from example_run import VALID

from counterplay.report import records, verdicts


def test_a_good_ranking_is_attributable_with_the_tau_of_removal(folder):
    (found,) = verdicts.verdicts(records.read(folder))
    assert found.attributable
    assert found.tau is not None
    assert (found.tau["size"], found.tau["measure"]) == (1.0, "kendall")


def test_the_margin_holds_nine_in_ten_of_the_errors():
    errors = np.arange(1.0, 20.0)
    assert verdicts.margin(np.zeros(19), errors) == 18.0
    assert verdicts.margin(np.zeros(9), errors[:9]) == 9.0
    assert verdicts.margin(np.zeros(8), errors[:8]) is None


def test_new_errors_are_within_the_margin_as_often_as_it_says():
    random = np.random.default_rng(0)
    errors = random.standard_normal((2_000, 33))
    within = [abs(row[-1]) <= verdicts.margin(np.zeros(32), row[:-1]) for row in errors]
    assert np.mean(within) == pytest.approx(30 / 33, abs=0.02)


def test_true_effects_are_kept_by_row(folder):
    (found,) = verdicts.verdicts(records.read(folder))
    assert sorted(found.actual) == list(range(0, 40, 2))
    assert found.margin is not None


def test_a_ranking_that_nobody_verified_is_neither(folder):
    (folder / "verify.json").unlink()
    (found,) = verdicts.verdicts(records.read(folder))
    assert found.attributable is None
    assert found.tau is None


def test_a_verdict_on_another_adjoint_does_not_count(folder, influence):
    text = (
        (folder / "verify.json").read_text().replace("Unroll(last=None)", "Unroll(last=7)")
    )
    (folder / "verify.json").write_text(text)
    assert verdicts.of(records.read(folder), influence).attributable is None


def test_a_verdict_is_kept_when_the_trace_is_gone(folder, wrong):
    (folder / "influence_0.npz").unlink()
    (folder / "verify.json").write_text(json.dumps(wrong))
    (found,) = verdicts.verdicts(records.read(folder))
    assert (found.metric, found.attributable) == (VALID, False)
    assert found.advice
