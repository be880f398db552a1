"""The simulated-bias benchmark: generators whose unfairness is known."""

import numpy as np
import pytest
import tomli_w
import torch

from counterplay._confusion import Confusion, measure_confusion
from counterplay._experiment import run
from counterplay._fairness_study import (
    bias_one,
    errors,
    FAMILIES,
    line,
    Pool,
    random_points,
    reproduce,
    SimulatedBias,
    sweep,
)
from counterplay.errors import ConfigError, DataError


HALVES = {"5 or more": [0] * 5 + [1] * 5}
QUICK = {"groups": HALVES, "families": ["line"], "measures": ["l2"], "n_train": [200]}


def points_of(family, k, n=200):
    return FAMILIES[family](k, n, np.random.default_rng(0))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("k", [2, 4, 5])
def test_every_family_holds_distributions(family, k):
    points = points_of(family, k)
    assert points.shape[1] == k
    assert (points >= 0).all()
    torch.testing.assert_close(points.sum(1), torch.ones(len(points)).double())


@pytest.mark.parametrize(("k", "n"), [(2, 50), (4, 77), (8, 181), (16, 389)])
def test_the_sweep_has_the_published_length_and_steps(k, n):
    points = points_of("sweep", k)
    assert len(points) == n
    assert points[0].tolist() == [1] + [0] * (k - 1)
    moved = points.diff(dim=0)
    step = {2: 0.01, 4: 0.01, 8: 0.005, 16: 0.0025}[k]
    assert (moved[:, 0] <= 1e-12).all()
    assert moved[:, 0].min().item() == pytest.approx(-step)
    # One more step is equal shares.
    assert (points[-1] - 1 / k).abs().max().item() == pytest.approx(step)


def test_a_line_goes_from_each_class_to_equal_shares():
    points = line(3, 0, np.random.default_rng(0)).reshape(3, 26, 3)
    torch.testing.assert_close(points[:, 0], torch.eye(3).double())
    torch.testing.assert_close(points[:, -1], torch.full((3, 3), 1 / 3).double())


def test_random_families_have_the_asked_number_and_shape():
    random = np.random.default_rng(0)
    assert len(random_points(4, 300, random)) == 300
    ordered = bias_one(4, 300, random).sort(1).values
    # All but one class are equal.
    equal = torch.minimum(ordered[:, 2] - ordered[:, 0], ordered[:, 3] - ordered[:, 1])
    assert equal.abs().max() < 1e-12


def test_a_pool_has_as_many_instances_of_each_class():
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])
    named = torch.tensor([0, 1, 2, 2, 1, 1, 0, 2, 0])
    pool = Pool.balanced(named, y, 3)
    assert pool.answers.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert pool.size == 2


def test_simulated_generators_draw_without_replacement():
    pool = Pool(torch.tensor([[80, 20], [30, 70]]))
    random = np.random.default_rng(0)
    said, truth = pool.generate(
        torch.tensor([0.75, 0.25]), n_batches=4_000, batch_size=40, random=random
    )
    assert truth.tolist() == [0.75, 0.25]
    assert said.shape == (4_000, 2)
    expected = 0.75 * 0.8 + 0.25 * 0.3
    assert said[:, 0].mean().item() == pytest.approx(expected, abs=0.005)
    spread = (30 * 0.16 * 70 / 99 + 10 * 0.21 * 90 / 99) / 40**2  # hypergeometric
    assert said[:, 0].var().item() == pytest.approx(spread, rel=0.1)
    # All there is of a class is always the same.
    said, _ = pool.generate(
        torch.tensor([1.0, 0.0]), n_batches=5, batch_size=0, random=random
    )
    assert said.tolist() == [[0.8, 0.2]] * 5


def test_a_perfect_classifier_makes_no_errors():
    pool, known = Pool(50 * torch.eye(3).long()), Confusion.known(torch.eye(3))
    for row in errors(known, pool, SimulatedBias(groups=HALVES, n_draws=20), seed=0):
        assert row["uncorrected"] < 1e-12
        assert row["corrected"] < 1e-12


def test_known_errors_are_corrected_in_all_families():
    answers = torch.tensor([[800, 150, 50], [100, 700, 200], [120, 180, 700]])
    study = SimulatedBias(groups=HALVES, n_draws=50)
    found = errors(Confusion.known(answers / 1_000), Pool(answers), study, seed=0)
    assert {row["family"] for row in found} == set(FAMILIES)
    for row in found:
        assert row["corrected"] < 0.02
        if row["family"] in ("one_hot", "line", "bias_one"):
            assert row["corrected"] < 0.1 * row["uncorrected"]


def test_the_errors_of_a_classifier_grow_with_its_own():
    study = SimulatedBias(groups=HALVES, families=["line"], measures=["l2"])
    found = []
    for right in (950, 800):
        answers = torch.full((4, 4), (1_000 - right) // 3).fill_diagonal_(right)
        y = torch.arange(4).repeat_interleave(answers.sum(1))
        named = torch.cat(
            [torch.repeat_interleave(torch.arange(4), row) for row in answers]
        )
        confusion = measure_confusion(torch.eye(4).double()[named], y)
        (row,) = errors(confusion, Pool.balanced(named, y, 4), study, seed=0)
        found.append(row["uncorrected"])
    assert found[1] > 3 * found[0]


def test_digits_seen_by_a_weak_classifier_are_corrected():
    rows = reproduce({"name": "digits"}, SimulatedBias(**QUICK), [0, 1])
    (row,) = rows
    assert (row["attribute"], row["k"], row["n_train"]) == ("5 or more", 2, 200)
    assert row["n_seeds"] == 2
    assert 0.6 < row["accuracy"] < 0.95
    assert row["corrected"] < 0.6 * row["uncorrected"]
    assert row["low"] <= row["corrected"] <= row["high"]
    assert reproduce({"name": "digits"}, SimulatedBias(**QUICK), [0, 1]) == rows


def test_an_experiment_file_runs_the_benchmark(tmp_path):
    path = tmp_path / "fairness.toml"
    table = {**QUICK, "classifier": "network", "side": 4, "n_train": [150]}
    path.write_text(tomli_w.dumps({"data": {"name": "digits"}, "fairness": table}))
    (row,) = run(path, tmp_path / "kept", seeds=[0])
    assert row["classifier"] == "network"
    assert 0.6 < row["accuracy"] < 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, r"The table \[fairness\] has no `groups`"),
        (
            {"groups": HALVES, "families": ["none"]},
            "no 'none' in `fairness.families`; there",
        ),
        (
            {"groups": HALVES, "measures": ["none"]},
            "no 'none' in `fairness.measures`; there",
        ),
    ],
)
def test_a_study_of_nothing_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        SimulatedBias(**options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"groups": {"a": [0, 1]}}, "to the labels 0 to 1, but there is the label 9"),
        ({"n_train": [5_000]}, r"`fairness.n_train` is 5000, .* gives 1078 instances of 2"),
        ({"n_train": [1]}, r"gives 1 instances of 1 classes .* the attribute has 2"),
    ],
)
def test_data_that_does_not_fit_the_study_is_refused(options, text):
    with pytest.raises(DataError, match=text):
        reproduce({"name": "digits"}, SimulatedBias(**{**QUICK, **options}), [0])


def test_data_without_a_name_is_refused():
    with pytest.raises(ConfigError, match=r"The table \[data\] needs a `name`"):
        reproduce({}, SimulatedBias(**QUICK), [0])


def test_the_sweep_fills_one_class_after_another():
    points = sweep(4, 0, np.random.default_rng(0))
    filled = (points[:, 1:] > 1e-9).sum(1)
    assert filled.diff().ge(0).all()
    assert filled.unique().tolist() == [0, 1, 2, 3]
