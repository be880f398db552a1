"""The mean over rows part by part against the mean over them all."""

import weakref

import pytest
import torch

from counterplay.metrics import _chunked_mean
from counterplay.metrics._chunked_mean import mean_by_parts


def normal(n, d, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator).double().requires_grad_()


def function(part, others):
    return (part @ others.mT).exp().sum(1)


@pytest.mark.parametrize("elements", [2**22, 70])
def test_values_and_gradients_are_those_of_the_whole(elements, monkeypatch):
    monkeypatch.setattr(_chunked_mean, "_ELEMENTS", elements)
    rows, others = normal(23, 3, 0), normal(7, 3, 1)
    found = mean_by_parts(function, rows, others, width=7)
    expected = function(rows, others).mean()
    torch.testing.assert_close(found, expected)
    for inputs in ((rows, others), (rows,), (others,)):
        for one, other in zip(
            torch.autograd.grad(3 * found, inputs, retain_graph=True),
            torch.autograd.grad(3 * expected, inputs, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(one, other)


def test_a_constant_input_gets_no_gradient_and_costs_none(monkeypatch):
    rows, others = normal(23, 3, 0), normal(7, 3, 1).detach()
    assert mean_by_parts(function, rows, others, width=7).requires_grad
    monkeypatch.setattr(torch.autograd, "grad", None)
    assert not mean_by_parts(function, rows.detach(), others, width=7).requires_grad
    with torch.no_grad():
        mean_by_parts(function, rows, others, width=7)


def test_only_one_part_is_in_memory_at_a_time(monkeypatch):
    monkeypatch.setattr(_chunked_mean, "_ELEMENTS", 70)
    made = []

    def watched(part):
        assert all(earlier() is None for earlier in made)
        assert len(part) <= 10
        matrix = part.exp()
        made.append(weakref.ref(matrix))
        return matrix.sum(1)

    mean_by_parts(watched, normal(35, 7, 0), width=7)
    assert len(made) == 4
