"""Metrics that are ready to read samples: their names, their rows, and what real data get."""

import pytest
import torch

from counterplay import _rng
from counterplay.metrics._reading import read
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.inception_score import inception_score


REAL = torch.randn(60, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Halved:
    """Features with logits and a fingerprint."""

    name = "halved"
    fingerprint = "abc"
    trained_on = ("v",)

    def __call__(self, x):
        return x / 2

    def logits(self, x):
        return torch.cat([x, -x], 1)


def test_rows_and_metric_together_are_the_function_of_the_samples():
    fake = REAL.flip(0)[:30] + 1
    found = read("frechet", Halved(), REAL, n=30, chunk=7)
    expected = frechet_distance(REAL / 2, fake / 2)
    assert found.metric(found.rows(fake)).item() == pytest.approx(expected.item())
    assert (found.name, found.extractor, found.learnt_from) == (
        "frechet_halved_30",
        "abc",
        ("v",),
    )


def test_a_metric_of_samples_sees_them_as_they_are():
    image = torch.ones(5, 1, 4, 4, dtype=torch.float64)
    seen = []
    found = read(
        lambda x: seen.append(x.shape) or x.sum(),
        None,
        None,
        n=5,
        chunk=2,
        higher_is_better=True,
    )
    found.metric(found.rows(image))
    assert seen == [(5, 16)]
    density = read(
        "mean_log_density", Halved(), None, n=5, chunk=2,
        options={"log_density": lambda x: x.sum(1)},
    )  # fmt: skip
    assert density.name == "mean_log_density_identity_5"
    assert density.rows(REAL) is REAL


def test_what_real_data_get_is_one_part_of_them_against_the_rest():
    found = read("frechet", Halved(), REAL, n=20, chunk=64)
    order = _rng.permutation(60, 3, "floor")
    expected = frechet_distance(REAL[order[20:]] / 2, REAL[order[:20]] / 2)
    assert found.of_real(3).value == pytest.approx(expected.item())
    assert found.of_real(3).value != found.of_real(4).value


def test_what_real_data_get_from_a_metric_that_compares_with_nothing():
    found = read("inception_score", Halved(), REAL, n=1_000, chunk=64)
    expected = inception_score(Halved().logits(REAL))
    assert found.of_real(0).value == pytest.approx(expected.item())
    assert read("inception_score", Halved(), None, n=9, chunk=9).of_real(0) is None


def test_too_few_real_rows_for_two_parts_give_no_value():
    assert read("frechet", None, REAL[:3], n=9, chunk=9).of_real(0) is None


def test_fewer_rows_than_columns_are_warned_of():
    wide = torch.randn(9, 12, dtype=torch.float64)
    with pytest.warns(UserWarning, match="9 real rows on 12 features. With fewer than 12"):
        read("frechet", None, wide, n=20, chunk=9)
    with pytest.warns(UserWarning, match="With fewer than 36 of either most of its value"):
        read("frechet_infinity", None, torch.randn(40, 12), n=35, chunk=9)
