"""The facts beside each metric, their lookup, and the check of rows."""

import inspect
import subprocess
import sys

import pytest
import torch

from counterplay import metrics
from counterplay.errors import DataError, MetricError
from counterplay.metrics._facts import checked


@pytest.mark.parametrize("name", metrics.names())
def test_facts_agree_with_their_function(name):
    facts = metrics.load(name)
    first = next(iter(inspect.signature(facts.function).parameters))
    assert facts.reads_reference == (first == "real")
    assert facts.bounds[0] < facts.bounds[1]
    direction = "Higher" if facts.higher_is_better else "Lower"
    assert f"{direction} is better" in inspect.getdoc(facts.function)


# Options that a metric cannot do without, and samples that are no images.
OPTIONS = {"mean_log_density": {"log_density": lambda x: -x.square().sum(1)}}
POINTS = {"mean_log_density"}
CENTRES = {"centres": [[0.0] * 4, [1.0] * 4]}
OPTIONS |= dict.fromkeys(("reverse_kl", "smooth_reverse_kl"), CENTRES)
OPTIONS |= {
    name: {**CENTRES, "std": 1.0} for name in ("modes_covered", "high_quality_share")
}
POINTS |= {"reverse_kl", "smooth_reverse_kl", "modes_covered", "high_quality_share"}


def rows_of(name, n, seed):
    """What a metric is given, as the leaves that it is differentiated by and their view."""
    needs = metrics.load(name).needs
    random = torch.Generator().manual_seed(seed)
    shapes = {"features": [(4,)], "logits": [(3,)], "classified": [(4,), (3,)]}
    images = [(4,)] if name in POINTS else [(1, 8, 8)]
    leaves = [
        torch.randn(n, *shape, generator=random, dtype=torch.float64).requires_grad_()
        for shape in shapes.get(needs, images)
    ]
    return leaves, metrics.Classified if needs == "classified" else lambda x: x


def metric_of(name):
    """A metric as a function of its fake leaves alone."""
    facts = metrics.load(name)
    real, view = rows_of(name, 12, seed=0)
    given = [view(*(leaf.detach() for leaf in real))] * facts.reads_reference
    if given and facts.prepare:
        given = [facts.prepare(given[0])]
    return lambda *fake: facts.function(*given, view(*fake), **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", metrics.names())
def test_values_lie_within_bounds_and_have_a_gradient_if_they_say_so(name):
    facts = metrics.load(name)
    value = metric_of(name)(*rows_of(name, 9, seed=1)[0])
    assert facts.bounds[0] <= value.item() <= facts.bounds[1]
    assert value.requires_grad == facts.differentiable
    assert value.dtype == torch.float64
    assert value.shape == ()


@pytest.mark.parametrize(
    "name", [name for name in metrics.names() if metrics.load(name).differentiable]
)
def test_gradients_are_those_of_finite_differences(name):
    assert torch.autograd.gradcheck(metric_of(name), rows_of(name, 9, seed=1)[0])


@pytest.mark.parametrize("name", metrics.names())
def test_rows_that_are_not_finite_are_refused(name):
    fake, _ = rows_of(name, 9, seed=1)
    fake[0].detach()[3] = float("nan")
    with pytest.raises(DataError, match="NaN or infinity"):
        metric_of(name)(*fake)


# One that divides the samples into parts must do so by their place to be smooth.
@pytest.mark.parametrize("name", sorted({*metrics.names()} - {"frechet_infinity"}))
def test_the_order_of_rows_does_not_matter(name):
    fake, _ = rows_of(name, 9, seed=1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        metric_of(name)(*fake), metric_of(name)(*(leaf[order] for leaf in fake))
    )


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
        (torch.ones(5), r"`fake` has shape \(5,\), .* a matrix .* `fake\[:, None\]`"),
        (torch.ones(5, 3, 1), r"shape \(5, 3, 1\), .* `fake\.flatten\(1\)`, or"),
        (torch.ones(1, 3), "`fake` has 1 rows, but this metric has no value below 2"),
        (torch.ones(5, 2), "`fake` has 2 columns, but .* has 3"),
        (torch.tensor([[0.0] * 3, [1, 2, float("nan")]]), "1 of 2 rows of `fake` .* row 1"),
    ],
)
def test_rows_that_no_metric_can_read_are_refused(rows, text):
    with pytest.raises(DataError, match=text):
        checked("fake", rows, minimum=2, width=3)
