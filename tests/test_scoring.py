"""Values with what is needed to read them: spread over latents, resamples, real data."""

import math

import cases
import numpy as np
import pytest
import torch
from scipy import stats

from counterplay.errors import ConfigError, MetricError
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.target import of_samples
from counterplay.scoring import score, score_samples, SEED_STEP


def points(n, seed, shift=0.0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, generator=random, dtype=torch.float64) + shift


def target(n=20, **keywords):
    case = cases.gan()
    return case.game, of_samples(
        "frechet", case.game, reference=points(60, 1), n=n, **keywords
    )


def test_one_set_of_latents_gives_the_value_alone():
    game, metric = target()
    found = score(metric, game.initial())
    assert found.value == metric.value(game.initial())
    assert math.isnan(found.low)
    assert (found.of_real, found.n_of_real) == (metric.of_real(0).value, 20)
    assert (found.metric, found.n, found.seeds) == ("frechet_identity_20", 20, (0,))


def test_several_sets_of_latents_give_students_interval():
    game, metric = target(seed=3)
    found = score(metric, game.initial(), repeats=4)
    assert found.seeds == tuple(3 + SEED_STEP * i for i in range(4))
    values = [target(seed=seed)[1].value(game.initial()) for seed in found.seeds]
    assert found.value == pytest.approx(np.mean(values))
    interval = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(interval)


def test_a_metric_of_the_state_has_a_value_and_no_repeats():
    case = cases.mean()
    state = case.game.initial()
    found = score(case.metric, state)
    assert found.value == case.metric.value(state)
    assert found.row()["of_real"] is None
    with pytest.raises(MetricError, match=r"reads no samples, so 2 sets of latents"):
        score(case.metric, state, repeats=2)


def test_no_repeat_is_refused():
    game, metric = target()
    with pytest.raises(ConfigError, match="`repeats` must be at least 1, got 0"):
        score(metric, game.initial(), repeats=0)


def test_samples_from_elsewhere_have_the_value_of_the_function():
    real, fake = points(80, 1), points(40, 2, shift=0.5)
    found = score_samples("frechet", fake, reference=real)
    assert found.value == pytest.approx(frechet_distance(real, fake).item())
    assert found.n == 40
    assert 0 <= found.of_real < found.value


def test_resamples_surround_the_value_and_shrink_with_the_number_of_samples():
    real = points(400, 1)
    widths = []
    for n in (40, 400):
        found = score_samples(
            "frechet", points(n, 2, shift=1.0), reference=real, n_resamples=200
        )
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert 2 < widths[0] / widths[1] < 5  # about the square root of 10


def test_a_row_holds_what_a_file_needs():
    row = score_samples("frechet", points(9, 2), reference=points(80, 1)).row()
    assert row["better"] == "lower"
    assert row["low"] is None
    assert set(row) == {
        "metric", "value", "low", "high", "of_real", "n_of_real", "n", "seeds", "extractor", "better",
    }  # fmt: skip


@pytest.mark.parametrize("n_resamples", [-1, 1])
def test_too_few_resamples_for_an_interval_are_refused(n_resamples):
    with pytest.raises(
        ConfigError, match="`n_resamples` must be 0, for no interval, or at"
    ):
        score_samples(
            "frechet", points(9, 2), reference=points(80, 1), n_resamples=n_resamples
        )
