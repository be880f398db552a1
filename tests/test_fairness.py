"""Fairness reports: of arrays, and of samples with a classifier."""

import pytest
import torch
from torch import nn

from counterplay import data, features
from counterplay._confusion import Confusion
from counterplay.errors import DataError
from counterplay.fairness import fairness_report, report_of
from counterplay.game import Columns
from counterplay.metrics._shares import discrepancy, MEASURES


def said(*counts):
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return torch.eye(len(counts), dtype=torch.float64)[y]


def known(alpha_0, alpha_1):
    rates = torch.tensor([[alpha_0, 1 - alpha_0], [1 - alpha_1, alpha_1]])
    return Confusion.known(rates.double())


def row_of(report, measure):
    return next(row for row in report.rows() if row["measure"] == measure)


class Threshold(nn.Module):
    """Class 1 above 0, as sure as it is far."""

    def logits(self, x):
        return torch.stack([-x[:, 0], x[:, 0]], 1)


def instances(n, share, *, noise=0.0, seed=0):
    random = torch.Generator().manual_seed(seed)
    y = (torch.arange(n) < share * n).long()
    x = 2.0 * y[:, None] - 1 + noise * torch.randn(n, 1, generator=random)
    return Columns({"x": x, "y": y}, tuple(f"{seed}/{i}" for i in range(n)))


def test_a_report_has_every_measure_raw_and_normalised_as_seen_and_corrected():
    report = report_of(said(800, 200), known(0.85, 0.95))
    p = torch.tensor([0.8, 0.2]).double()
    solved = (0.8 - 0.05) / 0.8
    assert [row["measure"] for row in report.rows()] == list(MEASURES)
    for row in report.rows():
        name, q = row["measure"], torch.tensor([solved, 1 - solved]).double()
        assert row["raw"] == pytest.approx(discrepancy(p, name).item())
        assert row["normalised"] == pytest.approx(
            discrepancy(p, name, normalised=True).item()
        )
        assert row["corrected_raw"] == pytest.approx(discrepancy(q, name).item())
        assert row["corrected"] == pytest.approx(
            discrepancy(q, name, normalised=True).item()
        )
        assert row["low"] < row["corrected"] < row["high"]
        assert row["noise"] < row["low"]
        assert row["verdict"] == "unfair"
    assert report.n_samples == 1_000


def test_a_report_names_who_is_missing():
    report = report_of(said(600, 300, 100), class_names=("a", "b", "c"))
    first, _, last = report.classes()
    assert (first["class"], first["measured"], first["wanted"]) == ("a", 0.6, 1 / 3)
    assert (last["class"], last["recognised"]) == ("c", None)
    assert last["low"] < 0.1 < last["high"] < 0.13
    assert [row["class"] for row in report_of(said(5, 5)).classes()] == ["0", "1"]


def test_classes_that_are_far_apart_cost_more():
    report, age = report_of(said(0, 50, 50)), torch.tensor([10.0, 30.0, 70.0])
    found = report.transport((age[:, None] - age).abs())
    # A third must come from: a sixth over 20 years, a sixth over 60.
    assert found["measured"] == pytest.approx(20 / 6 + 60 / 6)
    assert found["corrected"] == found["measured"]


@pytest.mark.parametrize(
    ("counts", "confusion", "verdict"),
    [
        ((520, 480), known(0.9, 0.9), "fair"),
        ((700, 300), known(0.95, 0.55), "fair, the classifier errs"),
        ((500, 500), known(0.95, 0.65), "unfair, hidden by the classifier's errors"),
        ((800, 200), None, "unfair, if the classifier never errs"),
        ((505, 495), None, "fair, if the classifier never errs"),
    ],
)
def test_the_verdict_tells_the_generator_from_the_classifier(counts, confusion, verdict):
    assert row_of(report_of(said(*counts), confusion), "l2")["verdict"] == verdict


def test_a_fair_generator_is_rarely_called_unfair():
    random = torch.Generator().manual_seed(0)
    confusion, unfair = known(0.85, 0.76), 0
    for _ in range(100):
        shown = torch.rand(500, generator=random) < 0.5 * (1 - 0.85 + 0.76)
        n = int(shown.sum())
        row = report_of(said(500 - n, n), confusion)._row("l1")
        unfair += row["verdict"].startswith("unfair")
    assert unfair <= 10


def test_another_reference_is_the_aim_and_leaves_out_what_sorts():
    report = report_of(said(800, 200), reference=[0.8, 0.2])
    rows = {row["measure"]: row for row in report.rows()}
    assert set(rows) == {"l2", "l1", "kl", "total_variation"}
    for row in rows.values():
        assert row["normalised"] == pytest.approx(0, abs=1e-12)
        assert row["verdict"] == "fair, if the classifier never errs"


def test_samples_are_classified_and_corrected_by_labelled_instances():
    samples, labelled = (
        instances(4_000, 0.2, noise=1.0),
        instances(4_000, 0.5, noise=1.0, seed=1),
    )
    for soft in (False, True):
        report = fairness_report(samples["x"], Threshold(), labelled, soft=soft)
        assert abs(report.measured.values[1] - 0.2) > 0.05
        assert report.corrected.low[1] < 0.2 < report.corrected.high[1]
        assert report.corrected.high[1] - report.corrected.low[1] < 0.06
    chunks = fairness_report(iter(samples["x"].split(99)), Threshold(), labelled)
    whole = fairness_report(samples["x"], Threshold(), labelled)
    assert chunks.classes() == whole.classes()


@pytest.fixture(scope="module")
def splits():
    return data.digits()


@pytest.fixture(scope="module")
def classifier(splits):
    return features.classifier(splits.valid, n_steps=100)


def test_groups_apply_to_answers_and_labels(splits, classifier):
    with pytest.warns(UserWarning, match="below about 1000 labelled instances"):
        report = fairness_report(
            splits.test["x"],
            classifier,
            splits.train,
            groups=[0, 1] * 5,
            class_names=("even", "odd"),
        )
    truth = (splits.test["y"] % 2).double().mean()
    assert [row["class"] for row in report.classes()] == ["even", "odd"]
    assert report.corrected.low[1] < truth < report.corrected.high[1]


def test_errors_from_few_instances_are_told():
    labelled = instances(600, 0.5, noise=1.0)
    with pytest.warns(UserWarning, match="measured on 300 instances of the rarest class"):
        fairness_report(labelled["x"], Threshold(), labelled)


def test_errors_on_what_was_learnt_are_refused(splits, classifier):
    with pytest.raises(DataError, match=r"learnt from 360 of the 360 .*it has not seen"):
        fairness_report(splits.test["x"], classifier, splits.valid)


def test_labelled_instances_without_a_class_are_refused():
    labelled = instances(100, 1.0)
    with pytest.raises(
        DataError, match=r"of the classes \[1\], but the classifier tells 2"
    ):
        fairness_report(labelled["x"], Threshold(), labelled)
