"""The correction for a classifier's errors, against closed forms and by simulation."""

import math

import numpy as np
import pytest
import torch

from counterplay._confusion import (
    Confusion,
    corrected,
    measure_confusion,
    measured,
    Shares,
)
from counterplay.errors import DataError, MetricError
from counterplay.metrics._shares import discrepancy


def binary(alpha_0, alpha_1):
    rates = torch.tensor([[alpha_0, 1 - alpha_0], [1 - alpha_1, alpha_1]])
    return Confusion.known(rates.double())


def one_hot(y, k):
    return torch.eye(k, dtype=torch.float64)[y]


def batches(shares, n_batches, size, random):
    """Shares of classes in batches of independent samples."""
    counts = random.multinomial(size, np.asarray(shares), size=n_batches)
    return torch.from_numpy(counts) / size


def test_two_classes_have_the_closed_form_and_its_interval():
    alpha_0, alpha_1 = 0.881, 0.887
    said = batches([0.7, 0.3], 30, 1_000, np.random.default_rng(0))
    found = corrected(measured(said), binary(alpha_0, alpha_1))

    def solved(share):
        return (share - (1 - alpha_1)) / (alpha_0 + alpha_1 - 1)

    mean, std = said[:, 0].mean().item(), said[:, 0].std(correction=0).item()
    half = 1.96 * std / math.sqrt(30)
    assert found.values[0].item() == pytest.approx(solved(mean))
    assert found.low[0].item() == pytest.approx(solved(mean - half), rel=1e-6)
    assert found.high[0].item() == pytest.approx(solved(mean + half), rel=1e-6)


def test_decisions_scatter_like_a_multinomial():
    y = torch.randint(3, (500,), generator=torch.Generator().manual_seed(0))
    found = measured(one_hot(y, 3))
    p = found.values
    torch.testing.assert_close(found.covariance, (torch.diag(p) - torch.outer(p, p)) / 500)


@pytest.mark.parametrize(
    ("share", "alphas", "uncorrected", "left"),
    [
        (0.9, (0.881, 0.887), (0.105, 0.108), 0.0035),
        (0.5, (0.85, 0.76), (0.08, 0.1), 0.009),
    ],
)
def test_the_published_simulation_is_reproduced(share, alphas, uncorrected, left):
    random = np.random.default_rng(1)
    confusion = binary(*alphas)
    shown = torch.tensor([share, 1 - share]).double() @ confusion.rates
    wrong, after, covered = [], [], []
    for _ in range(2_000):
        seen = measured(batches(shown, 30, 1_000, random))
        found = corrected(seen, confusion)
        wrong.append(abs(seen.values[0].item() - share) / share)
        after.append(abs(found.values[0].item() - share) / share)
        covered.append(found.low[0].item() <= share <= found.high[0].item())
    assert uncorrected[0] <= np.mean(wrong) <= uncorrected[1]
    assert np.mean(after) <= left
    assert np.mean(covered) >= 0.92


def test_four_classes_are_corrected_ten_times():
    random = np.random.default_rng(2)
    rates = torch.full((4, 4), 0.17 / 3, dtype=torch.float64).fill_diagonal_(0.83)
    confusion = Confusion.known(rates)
    wrong, left = [], []
    for _ in range(200):
        truth = torch.from_numpy(random.dirichlet(np.ones(4)))
        seen = measured(batches(truth @ rates, 1, 10_000, random))
        found = corrected(seen, confusion)
        wrong.append(abs(discrepancy(seen.values) - discrepancy(truth)).item())
        left.append(abs(discrepancy(found.values) - discrepancy(truth)).item())
    assert np.mean(wrong) == pytest.approx(0.082, abs=0.008)
    assert np.mean(left) <= 0.008


def test_the_interval_covers_the_truth_though_the_errors_are_only_measured():
    random = torch.Generator().manual_seed(3)
    truth, rates = torch.tensor([0.7, 0.3]), torch.tensor([[0.85, 0.15], [0.24, 0.76]])
    covered, blind = [], []
    for _ in range(400):
        y = torch.tensor([0] * 200 + [1] * 200)
        named = torch.multinomial(rates[y], 1, generator=random).squeeze(1)
        confusion = measure_confusion(one_hot(named, 2), y)
        named = torch.multinomial(truth @ rates, 10_000, True, generator=random)
        seen = measured(one_hot(named, 2))
        for answers, errors in (
            (covered, confusion),
            (blind, Confusion.known(confusion.rates)),
        ):
            found = corrected(seen, errors)
            answers.append(bool(found.low[0] <= truth[0] <= found.high[0]))
    assert np.mean(covered) >= 0.92
    assert np.mean(blind) < 0.6


def test_probabilities_are_corrected_by_mean_probabilities():
    random = torch.Generator().manual_seed(4)
    y = torch.randint(3, (30_000,), generator=random)
    y[:10_000] = 0

    def answers(y):
        noise = torch.randn(len(y), 3, generator=random, dtype=torch.float64)
        return torch.softmax(noise + 1.5 * one_hot(y, 3), 1)

    even = torch.arange(30_000) % 3
    confusion = measure_confusion(answers(even), even)
    truth = one_hot(y, 3).mean(0)
    seen = measured(answers(y))
    found = corrected(seen, confusion)
    assert (seen.values - truth).abs().max() > 0.1
    assert (found.values - truth).abs().max() < 0.02
    assert ((found.low <= truth) & (truth <= found.high)).all()


def test_corrected_shares_are_a_distribution():
    seen = Shares(torch.tensor([0.05, 0.95]).double(), torch.zeros(2, 2).double())
    assert corrected(seen, binary(0.8, 0.8)).values.tolist() == [0, 1]


def test_draws_have_the_covariance_and_are_distributions():
    p = torch.tensor([0.3, 0.3, 0.4]).double()
    shares = Shares(p, (torch.diag(p) - torch.outer(p, p)) / 1_000)
    draws = shares.draws(p)
    torch.testing.assert_close(draws.sum(1), torch.ones(len(draws)).double())
    torch.testing.assert_close(draws.mean(0), p, rtol=0, atol=2e-3)
    torch.testing.assert_close(draws.T.cov(), shares.covariance, rtol=0.2, atol=2e-5)


@pytest.mark.parametrize("alphas", [(0.509, 0.51), (0.5, 0.5), (0.9, 0.1)])
def test_a_classifier_that_guesses_is_refused(alphas):
    with pytest.raises(
        MetricError, match=r"right on \[0.*more than 50; for two classes their sum less 1"
    ):
        corrected(measured(torch.tensor([[0.4, 0.6]]).double()), binary(*alphas))


def test_three_classes_that_are_confused_are_refused_without_a_word_on_two():
    rates = torch.full((3, 3), 1 / 3).double()
    with pytest.raises(MetricError, match=r"more than 50\. Train a better one, or merge"):
        corrected(measured(rates), Confusion.known(rates))


@pytest.mark.parametrize(
    "rates", [[[1.0, 0.5], [0.5, 0.5]], [[0.5, 0.5]], [[1.5, -0.5], [0.0, 1.0]]]
)
def test_rates_that_are_no_distributions_are_refused(rates):
    with pytest.raises(DataError, match=r"row sums \[1.*\], but row i must hold"):
        Confusion.known(torch.tensor(rates))


@pytest.mark.parametrize("y", [[0, 0, 0], [0, 1, 2], [0, 1]])
def test_labels_that_do_not_fit_the_classifier_are_refused(y):
    with pytest.raises(DataError, match="Every class needs instances, labelled 0, 1"):
        measure_confusion(torch.full((3, 2), 0.5), torch.tensor(y))
