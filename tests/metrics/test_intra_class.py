"""Intra-class Frechet distance against a loop over labels."""

import pytest
import torch

from counterplay.errors import DataError
from counterplay.metrics import Classified
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.intra_class import intra_class_frechet, moments


def rows(n=120, d=4, k=3, seed=0, scale=1.0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d + k, generator=random, dtype=torch.float64)
    return Classified(scale * x[:, :d], x[:, d:])


def test_it_is_the_mean_of_the_distances_of_labelled_parts():
    real, fake = rows(), rows(90, seed=1, scale=1.5)
    expected = [
        frechet_distance(*(x.features[x.logits.argmax(1) == k] for x in (real, fake)))
        for k in range(3)
    ]
    found = intra_class_frechet(real, fake)
    torch.testing.assert_close(found, torch.stack(expected).mean())
    torch.testing.assert_close(intra_class_frechet(moments(real), fake), found)


def test_a_set_has_no_distance_to_itself():
    assert abs(float(intra_class_frechet(rows(), rows()))) < 1e-8


def test_the_gradient_reaches_features_and_not_logits():
    features, logits = rows(30, seed=1)
    leaves = [features.requires_grad_(), logits.requires_grad_()]
    intra_class_frechet(rows(), Classified(*leaves)).backward()
    assert features.grad.any()
    assert logits.grad is None


def test_only_the_largest_logit_matters():
    real, fake = rows(), rows(seed=1)
    sharper = fake._replace(logits=9 * fake.logits + 1)
    torch.testing.assert_close(
        intra_class_frechet(real, sharper), intra_class_frechet(real, fake)
    )


def test_a_class_collapsed_to_a_point_still_has_a_distance():
    real, fake = rows(), rows(seed=1)
    fake.features[fake.logits.argmax(1) == 0] = 0.5
    assert torch.isfinite(intra_class_frechet(real, fake))
    assert torch.isfinite(intra_class_frechet(fake, real))


def test_classes_without_a_covariance_are_refused():
    fake = rows(seed=1)
    fake.logits[:, 1] = -9.0
    with pytest.raises(DataError, match=r"`fake` has \[0\] rows of the classes \[1\]"):
        intra_class_frechet(rows(), fake)
    with pytest.raises(DataError, match=r"`real` has \[0\] rows of the classes \[1\]"):
        intra_class_frechet(fake, rows())
    with pytest.raises(DataError, match=r"`fake.logits` has 4 columns, but .* has 3"):
        intra_class_frechet(rows(), rows(k=4))
