"""Class-aware Frechet distance against SciPy, class by class, and where Frechet is blind."""

import numpy as np
import pytest
import scipy.linalg
import torch

from counterplay.errors import DataError
from counterplay.metrics import Classified
from counterplay.metrics._classes import class_moments
from counterplay.metrics.class_aware import class_aware_frechet, class_proportions_kl
from counterplay.metrics.frechet import frechet_distance


def normal(n, d, seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


def rows(n=200, d=6, k=3, seed=0, shift=0.0):
    return Classified(normal(n, d, seed) + shift, 2 * normal(n, k, seed + 50))


def by_scipy(real, fake, root=scipy.linalg.sqrtm):
    """The definition, from probabilities, with explicit loops over classes."""
    found = []
    weights = [scipy.special.softmax(x.logits.numpy(), axis=1) for x in (real, fake)]
    for k in range(weights[0].shape[1]):
        means, covariances = [], []
        for x, p in zip((real, fake), weights, strict=True):
            w = p[:, k] / p[:, k].sum()
            means.append(w @ x.features.numpy())
            centred = x.features.numpy() - means[-1]
            covariances.append((w[:, None] * centred).T @ centred)
        s, t = covariances
        found.append(
            np.square(means[0] - means[1]).sum() + np.trace(s + t - 2 * root(s @ t).real)
        )
    return np.mean(found)


@pytest.mark.parametrize("k", [1, 3])
def test_the_distance_agrees_with_scipy(k):
    real, fake = rows(k=k), rows(150, k=k, seed=1, shift=0.4)
    assert float(class_aware_frechet(real, fake)) == pytest.approx(
        by_scipy(real, fake), 1e-8
    )


def test_sure_classes_give_the_mean_of_ordinary_distances():
    classes = torch.arange(200) % 4
    logits = 1e4 * torch.eye(4, dtype=torch.float64)[classes]
    real, fake = normal(200, 5, 0), 1.3 * normal(200, 5, 1) + classes[:, None]
    # As many rows on both sides, so the biased covariance scales the unbiased one's traces.
    within = [(real[classes == k], fake[classes == k]) for k in range(4)]
    gaps = [(a.mean(0) - b.mean(0)).square().sum() for a, b in within]
    expected = [
        gap + (frechet_distance(a, b) - gap) * 49 / 50
        for gap, (a, b) in zip(gaps, within, strict=True)
    ]
    found = class_aware_frechet(Classified(real, logits), Classified(fake, logits))
    assert float(found) == pytest.approx(float(sum(expected) / 4), 1e-8)


def test_a_set_has_no_distance_to_itself_and_turning_features_changes_nothing():
    real, fake = rows(), rows(seed=1)
    assert abs(float(class_aware_frechet(real, real))) < 1e-8
    turn = torch.linalg.qr(normal(6, 6, 9)).Q
    turned = [x._replace(features=x.features @ turn) for x in (real, fake)]
    torch.testing.assert_close(
        class_aware_frechet(*turned), class_aware_frechet(real, fake)
    )


def test_values_are_not_negative_whatever_the_classes():
    for seed in range(10):
        for scale in (0.0, 5.0, 500.0):
            real, fake = rows(9, 4, seed=seed), rows(7, 4, seed=seed + 20)
            real, fake = (x._replace(logits=scale * x.logits) for x in (real, fake))
            assert class_aware_frechet(real, fake) > -1e-8


def test_prepared_moments_change_nothing():
    real, fake = rows(), rows(90, seed=1)
    torch.testing.assert_close(
        class_aware_frechet(class_moments(real), fake), class_aware_frechet(real, fake)
    )


@pytest.mark.parametrize("m", [4, 30])
def test_the_gradient_is_the_finite_difference_in_features_and_logits(m):
    real = class_moments(rows(40, 5, 3))
    leaves = [leaf.requires_grad_() for leaf in rows(m, 5, 3, seed=1)]
    distance = lambda *fake: class_aware_frechet(real, Classified(*fake))
    assert torch.autograd.gradcheck(distance, leaves)


def test_a_class_that_no_sample_is_of_has_a_distance_and_a_gradient():
    real = rows(60, 4, 3)
    fake = rows(30, 4, 3, seed=1)
    fake.logits[:, 2] = -2_000.0  # beyond what a probability can hold
    leaves = [leaf.requires_grad_() for leaf in fake]
    distance = class_aware_frechet(real, Classified(*leaves))
    distance.backward()
    assert distance > class_aware_frechet(real, rows(30, 4, 3, seed=1))
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)


def with_moments_of(real, seed):
    """Rows of one Gaussian, turned into the mean and the covariance of others exactly."""
    white = normal(*real.shape, seed)
    roots = [torch.linalg.cholesky(torch.cov(x.mT)) for x in (white, real)]
    return (white - white.mean(0)) @ torch.linalg.inv(roots[0]).mT @ roots[
        1
    ].mT + real.mean(0)


def test_one_gaussian_with_the_same_moments_deceives_frechet_only():
    # Ten unit Gaussians in 16 dimensions; posteriors are exact.
    centres = 3 * normal(10, 16, 2)
    draw = lambda seed: centres.repeat(500, 1) + normal(5_000, 16, seed)
    log_density = lambda x: -torch.cdist(x, centres).square() / 2
    classified = lambda x: Classified(x, log_density(x))
    real, same = draw(0), draw(1)
    gaussian = with_moments_of(real, 3)

    known = class_moments(classified(real))
    assert frechet_distance(real, gaussian) < 0.01
    floor = class_aware_frechet(known, classified(same))
    assert class_aware_frechet(known, classified(gaussian)) > 50 * floor
    dropped = same[torch.arange(5_000) % 10 >= 3]
    assert class_aware_frechet(known, classified(dropped)) > 50 * floor
    proportions = lambda x: class_proportions_kl(log_density(real), log_density(x))
    assert proportions(same) < 0.01
    assert proportions(dropped) > 1


def test_noise_on_digits_raises_the_distance(sorted_digits):
    classify, real, other = sorted_digits
    classified = lambda x: Classified(classify(x), classify.logits(x))
    noise = torch.randn(other["x"].shape, generator=torch.Generator().manual_seed(0))
    known = class_moments(classified(real["x"]))
    values = [
        float(class_aware_frechet(known, classified(other["x"] + level * noise)))
        for level in (0.0, 0.1, 0.2, 0.4, 0.8)
    ]
    assert values == sorted(values)


def test_proportions_are_compared_with_the_data_first():
    sure = 1e4 * torch.eye(2, dtype=torch.float64)
    real, fake = sure[[0, 1]], sure[[0, 0, 0, 1]]
    expected = scipy.stats.entropy([0.5, 0.5], [0.75, 0.25])
    assert float(class_proportions_kl(real, fake)) == pytest.approx(expected, 1e-12)
    assert float(class_proportions_kl(fake, real)) != pytest.approx(expected, 1e-3)
    assert float(class_proportions_kl(fake, fake)) == pytest.approx(0.0, abs=1e-12)


def test_rows_of_another_kind_are_refused():
    real = rows()
    with pytest.raises(DataError, match=r"`fake.features` has 5 columns, but .* has 6"):
        class_aware_frechet(real, rows(d=5))
    with pytest.raises(DataError, match=r"`fake.logits` has 4 columns, but .* has 3"):
        class_aware_frechet(real, rows(k=4))
