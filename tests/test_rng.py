"""Draws are functions of what they are for."""

import torch

from counterplay import _rng


def test_a_draw_depends_on_every_part_of_its_purpose():
    purposes = [
        (0,),
        (1,),
        (0, 1),
        (0, "noise"),
        (0, 1, "noise"),
        (0, 11),
        (0, 1, 1),
        (0, "z", 1),
    ]
    assert len({_rng.derive(*purpose) for purpose in purposes}) == len(purposes)


def test_a_derived_seed_fits_a_generator_and_never_changes():
    assert all(0 <= _rng.derive(seed, "z") < 2**63 for seed in range(200))
    # A pinned value: recorded runs can be replayed only as long as it holds.
    assert _rng.derive(0, 3, "noise") == 8597707540264604398


def test_a_generator_repeats_and_does_not_touch_the_global_one():
    before = torch.random.get_rng_state()
    first = torch.randn(4, generator=_rng.generator(5, "z"))
    second = torch.randn(4, generator=_rng.generator(5, "z"))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_permutation_visits_everything_once():
    order = _rng.permutation(50, 0, "epoch", 2)
    assert sorted(order.tolist()) == list(range(50))
    assert torch.equal(order, _rng.permutation(50, 0, "epoch", 2))
    assert not torch.equal(order, _rng.permutation(50, 0, "epoch", 3))


def test_seeded_code_repeats_and_the_global_generator_is_put_back():
    before = torch.random.get_rng_state()
    draws = []
    for _ in range(2):
        with _rng.seeded(7, 3, "layers"):
            draws.append(torch.nn.functional.dropout(torch.ones(20)))
        torch.rand(1)
    assert torch.equal(*draws)
    with _rng.seeded(7, 4, "layers"):
        assert not torch.equal(draws[0], torch.nn.functional.dropout(torch.ones(20)))
    torch.random.set_rng_state(before)
