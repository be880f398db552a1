"""The family's front: names, and what a name stands for."""

import pytest

from counterplay import metrics
from counterplay.errors import MetricError


def test_every_name_loads_the_facts_of_that_name():
    assert "frechet" in metrics.names()
    assert list(metrics.names()) == sorted(metrics.names())
    for name in metrics.names():
        facts = metrics.load(name)
        assert isinstance(facts, metrics.Facts)
        assert facts is metrics.load(name)


def test_an_unknown_metric_is_refused_and_the_nearest_named():
    with pytest.raises(
        MetricError, match=r"no metric 'frechte'; there are .*The nearest is 'frechet'"
    ):
        metrics.load("frechte")


def test_files_and_the_names_in_front_are_reached_from_the_package():
    assert metrics.frechet.frechet_distance is metrics.load("frechet").function
    assert metrics.Target is metrics.target.Target
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'"):
        _ = metrics.nothing
