"""The facts beside each metric, their lookup, and the check of rows."""

import inspect
import subprocess
import sys

import pytest
import torch

from counterplay import metrics
from counterplay.errors import DataError, MetricError
from counterplay.metrics._facts import checked


def test_every_file_of_metrics_is_found_by_name():
    assert metrics.names() == (
        "average_log_likelihood",
        "frechet",
        "inception_score",
        "log_inception_score",
        "mean_log_density",
        "precision",
        "recall",
    )


@pytest.mark.parametrize("name", metrics.names())
def test_facts_agree_with_their_function(name):
    facts = metrics.load(name)
    first = next(iter(inspect.signature(facts.function).parameters))
    assert facts.reads_reference == (first == "real")
    assert facts.bounds[0] < facts.bounds[1]
    direction = "Higher" if facts.higher_is_better else "Lower"
    assert f"{direction} is better" in inspect.getdoc(facts.function)


@pytest.mark.parametrize("name", metrics.names())
def test_values_lie_within_bounds_and_have_a_gradient_if_they_say_so(name):
    facts = metrics.load(name)
    torch.manual_seed(0)
    fake = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    real = [torch.randn(30, 3, dtype=torch.float64)] * facts.reads_reference
    options = {"log_density": lambda x: -x.square().sum(1)} if facts.needs == "none" else {}
    value = facts.function(*real, fake, **options)
    assert facts.bounds[0] <= value.item() <= facts.bounds[1]
    assert value.requires_grad == facts.differentiable
    assert value.dtype == torch.float64
    assert value.shape == ()


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(MetricError, match=r"no metric 'frechett'.*nearest is 'frechet'"):
        metrics.load("frechett")


def test_importing_the_package_loads_no_framework():
    code = (
        "import sys, counterplay.metrics; "
        "print([m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.strip() == "[]"


def test_the_front_door_opens_lazily():
    assert metrics.of_samples is metrics.target.of_samples
    assert metrics.frechet.frechet_distance is metrics.load("frechet").function
    with pytest.raises(AttributeError, match="no attribute 'fid'"):
        _ = metrics.fid


def test_rows_come_back_in_float64():
    rows = checked("fake", torch.ones(2, 3))
    assert rows.dtype == torch.float64


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (torch.ones(5), r"`fake` has shape \(5,\), but a metric reads a matrix"),
        (torch.ones(1, 3), "`fake` has 1 rows, but this metric has no value below 2"),
        (torch.ones(5, 2), "`fake` has 2 columns, but .* has 3"),
        (torch.tensor([[0.0] * 3, [1, 2, float("nan")]]), "1 of 2 rows of `fake` .* row 1"),
    ],
)
def test_rows_that_no_metric_can_read_are_refused(rows, text):
    with pytest.raises(DataError, match=text):
        checked("fake", rows, minimum=2, width=3)
