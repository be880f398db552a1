from dataclasses import replace

import cases
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from counterplay import optim, play, stability
from counterplay.errors import TraceError
from counterplay.game import Columns, Game


DATA = Columns({"x": torch.zeros(1, 1, dtype=torch.float64)}, ("0",))
SCHEDULES = {"simultaneous": (("D", "G"),), "alternating": (("D",), ("G",))}


class Number(nn.Module):
    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))


def numbers(loss_g, loss_d, rule, schedule, start=(0.0, 0.0)):
    """A game of one number each."""

    def of(loss):
        return lambda params, batch, noise, weights: loss(
            params["G"]["value"], params["D"]["value"]
        )

    return Game(
        modules={"G": Number(start[0]), "D": Number(start[1])},
        losses={"G": of(loss_g), "D": of(loss_d)},
        optimizers={"G": rule, "D": rule},
        schedule=schedule,
        draw=lambda size, generator, params: {},
        readers=(),
    )


def linear(matrix, lr, schedule, start=(0.0, 0.0)):
    (a, b), (c, d) = matrix.tolist()
    return numbers(
        lambda x, y: a / 2 * x**2 + b * x * y,
        lambda x, y: d / 2 * y**2 + c * x * y,
        optim.sgd(lr),
        schedule,
        start,
    )


def found(game, n_steps=4, **options):
    run = play(game, DATA, n_steps=n_steps, batch_size=1)
    return stability.eigenvalues(game, DATA, run, **options)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_linear_games_grow_as_predicted_and_as_they_do_when_played(schedule):
    generator = np.random.default_rng(0)
    for _ in range(10):
        matrix = generator.normal(size=(2, 2))
        start = generator.normal(size=2)
        game = linear(matrix, 0.1, schedule, tuple(start))
        n_rounds = 120
        run = play(game, DATA, n_steps=n_rounds * len(schedule), batch_size=1)
        predicted = stability.growth(game, DATA, run)
        move_g = np.array([[1, 0], [0, 1]]) - 0.1 * np.diag([1, 0]) @ matrix
        move_d = np.array([[1, 0], [0, 1]]) - 0.1 * np.diag([0, 1]) @ matrix
        whole = move_g @ move_d if len(schedule) == 2 else move_g + move_d - np.eye(2)
        assert predicted == pytest.approx(np.abs(np.linalg.eigvals(whole)).max(), rel=1e-9)
        # From half way on, so that what dies out soon is gone.
        half = run.state_at(game, DATA, n_rounds // 2 * len(schedule))
        length = [
            np.hypot(*(float(state.params[player]["value"]) for player in "GD"))
            for state in (half, run.final)
        ]
        simulated = (length[1] / length[0]) ** (2 / n_rounds)
        assert predicted == pytest.approx(simulated, rel=0.02)


def test_players_that_chase_each_other_leave_at_once_and_stay_in_turns():
    bilinear = np.array([[0.0, 1.0], [-1.0, 0.0]])
    at_once = found(linear(bilinear, 0.1, SCHEDULES["simultaneous"]))
    np.testing.assert_allclose(np.abs(at_once), np.sqrt(1 + 0.01), rtol=1e-12)
    in_turns = found(linear(bilinear, 0.1, SCHEDULES["alternating"]))
    np.testing.assert_allclose(np.abs(in_turns), 1, rtol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_penalty_makes_the_dirac_gan_settle(gamma):
    # Mescheder, Geiger and Nowozin 2018, arXiv 1801.04406
    game = numbers(
        lambda x, y: softplus(-y * x),
        lambda x, y: softplus(y * x) + gamma / 2 * y**2,
        optim.sgd(0.1),
        SCHEDULES["simultaneous"],
    )
    root = np.sqrt(complex(gamma**2 / 4 - 0.25))
    expected = 1 + 0.1 * np.array([-gamma / 2 + root, -gamma / 2 - root])
    np.testing.assert_allclose(
        np.sort_complex(found(game)), np.sort_complex(expected), atol=1e-7
    )


def test_momentum_is_part_of_the_state():
    game = numbers(
        lambda x, y: x**2 / 2, lambda x, y: y**2 / 2, optim.sgd(0.2, momentum=0.9),
        SCHEDULES["simultaneous"],
    )  # fmt: skip
    one = np.linalg.eigvals(np.array([[1 - 0.2, -0.2 * 0.9], [1.0, 0.9]]))
    expected = np.sort_complex(np.repeat(one, 2))
    np.testing.assert_allclose(np.sort_complex(found(game)), expected, atol=1e-7)


def test_rounds_multiply():
    matrix = np.array([[1.0, 0.5], [-2.0, 0.3]])
    game = linear(matrix, 0.1, SCHEDULES["alternating"])
    one, three = found(game, 6), found(game, 6, rounds=3)
    np.testing.assert_allclose(np.abs(three), np.abs(one) ** 3, rtol=1e-9)


def test_of_a_large_state_the_largest_are_found(monkeypatch):
    case = cases.combined("adam", "alternating", "plain")
    run = play(case.game, case.data, n_steps=8, batch_size=4)
    every = stability.eigenvalues(case.game, case.data, run)
    monkeypatch.setattr(stability, "DENSE", 1)
    some = stability.eigenvalues(case.game, case.data, run, k=3)
    np.testing.assert_allclose(np.abs(some), np.abs(every[:3]), rtol=1e-6)


def test_two_time_scales_settle_where_a_slow_discriminator_does_not():
    # Heusel et al. 2017, arXiv 1706.08500: D's best answer is y = x, under which G settles
    # at 0; left to itself, G goes away from there.
    def with_rates(lr_g, lr_d):
        game = numbers(
            lambda x, y: x * y - x**2 / 4,
            lambda x, y: y**2 / 2 - x * y,
            optim.sgd(lr_g),
            SCHEDULES["alternating"],
            start=(0.1, 0.0),
        )
        return replace(game, optimizers={"G": optim.sgd(lr_g), "D": optim.sgd(lr_d)})

    for lr_g, lr_d, settles in ((0.02, 0.2, True), (0.2, 0.02, False)):
        game = with_rates(lr_g, lr_d)
        run = play(game, DATA, n_steps=600, batch_size=1)
        assert (stability.growth(game, DATA, run) < 1) == settles
        assert (abs(float(run.final.params["G"]["value"])) < 0.05) == settles


@pytest.mark.parametrize("rounds", [0, 3])
def test_more_rounds_than_were_played_are_refused(rounds):
    game = linear(np.eye(2), 0.1, SCHEDULES["alternating"])
    with pytest.raises(TraceError, match=r"`rounds` must be at least 1, .* has 4"):
        found(game, 4, rounds=rounds)
