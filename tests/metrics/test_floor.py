"""The same-data floor: which rows it compares, and how many."""

import pytest
import torch

from counterplay import metrics
from counterplay.errors import DataError
from counterplay.metrics._facts import Classified, Facts
from counterplay.metrics._floor import same_data_floor


ROWS = torch.arange(30.0, dtype=torch.float64)[:, None].repeat(1, 2)


def recording(seen, **facts):
    """A metric that keeps what it is given."""

    def metric(*given):
        seen.extend(given)
        return torch.zeros(())

    return Facts(metric, higher_is_better=False, **facts)


@pytest.mark.parametrize(("n", "n_fake"), [(7, 7), (15, 15), (16, 15), (500, 15)])
def test_random_rows_are_compared_with_all_others(n, n_fake):
    seen = []
    floor = same_data_floor(recording(seen), ROWS, n=n)
    real, fake = seen
    assert (floor.n_fake, floor.n_real) == (n_fake, 30 - n_fake) == (len(fake), len(real))
    both = torch.cat([real, fake])[:, 0]
    assert both.sort().values.tolist() == ROWS[:, 0].tolist()
    assert fake[:, 0].tolist() != sorted(fake[:, 0].tolist())


def test_the_parts_depend_on_the_seed_alone():
    values = [
        same_data_floor(metrics.load("frechet"), ROWS, n=9, seed=seed).value
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_features_and_logits_of_a_row_stay_together():
    seen = []
    same_data_floor(recording(seen, needs="classified"), Classified(ROWS, -ROWS), n=9)
    for part in seen:
        torch.testing.assert_close(part.features, -part.logits)
    assert [len(part.features) for part in seen] == [21, 9]


def test_a_metric_without_a_reference_measures_as_many_rows_as_there_are():
    floor = same_data_floor(metrics.load("inception_score"), ROWS, n=25)
    assert (floor.n_fake, floor.n_real) == (25, 0)
    assert floor.value == pytest.approx(1.0)


def test_options_reach_the_metric():
    facts = Facts(lambda real, fake, *, k: torch.tensor(k), higher_is_better=False)
    assert same_data_floor(facts, ROWS, n=9, options={"k": 12}).value == 12


def test_the_floor_of_the_frechet_distance_falls_with_the_number_of_samples():
    random = torch.Generator().manual_seed(0)
    real = torch.randn(1_200, 8, generator=random)
    floors = [
        same_data_floor(metrics.load("frechet"), real, n=n).value for n in (30, 100, 600)
    ]
    assert floors == sorted(floors, reverse=True)


def test_a_reference_too_small_for_the_metric_is_refused():
    with pytest.raises(
        DataError, match=r"floor of 9 samples from 3 rows .* measure 1, but"
    ):
        same_data_floor(metrics.load("frechet"), ROWS[:3], n=9)
