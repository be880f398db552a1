"""Targets: names, what they are made from, and what they refuse."""

from dataclasses import dataclass

import pytest
import torch

from counterplay.errors import DataError, MetricError
from counterplay.game import Columns
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.inception_score import inception_score
from counterplay.metrics.likelihood import average_log_likelihood
from counterplay.metrics.target import of_samples, of_state, Target


REAL = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@dataclass(frozen=True)
class Turned:
    """A feature map with logits."""

    name: str = "turned"
    fingerprint: str = "abc"

    def __call__(self, x):
        return torch.tanh(x @ torch.tensor([[0.0, 1.0], [-1.0, 0.5]], dtype=x.dtype))

    def logits(self, x):
        return torch.cat([x, -x], dim=1)


def samples_of(game, n, seed=0):
    seen = []
    record = lambda x: seen.append(x.detach().clone()) or x.sum()
    of_samples(record, game, n=n, seed=seed, higher_is_better=True).value(game.initial())
    return seen[0]


def test_a_name_carries_the_protocol(make_game):
    game = make_game(averages={"G": 5.0})
    made = [
        of_samples("frechet", game, Turned(), reference=REAL),
        of_samples("inception_score", game, Turned(), n=64, options={"n_splits": 4}),
        of_samples("frechet", game, reference=REAL, n=64, averaged=True),
        of_samples("mean_log_density", game, n=9, options={"log_density": torch.sum}),
        of_samples("frechet", game, reference=REAL, name="mine"),
    ]
    assert [target.name for target in made] == [
        "frechet_turned_2048",
        "inception_score_turned_64_n_splits_4",
        "frechet_identity_64_averaged",
        "mean_log_density_identity_9",
        "mine",
    ]
    assert [target.higher_is_better for target in made] == [False, True, False, True, False]
    assert all(isinstance(target, Target) for target in made)


def test_values_are_those_of_the_functions(make_game):
    game = make_game()
    state, fake, phi = game.initial(), samples_of(game, 40), Turned()
    made = {
        of_samples("frechet", game, phi, reference=REAL, n=40): frechet_distance(
            phi(REAL), phi(fake)
        ),
        of_samples(
            "average_log_likelihood", game, reference=REAL, n=40, options={"bandwidth": 0.5}
        ): average_log_likelihood(REAL, fake, bandwidth=0.5),
        of_samples("inception_score", game, phi, n=40): inception_score(phi.logits(fake)),
        of_samples(
            "mean_log_density", game, n=40, options={"log_density": lambda x: x[:, 0]}
        ): fake[:, 0].mean(),
        of_samples(lambda x: x.std(0).sum(), game, n=40, higher_is_better=True): fake.std(
            0
        ).sum(),
    }
    for target, expected in made.items():
        assert target.value(state) == pytest.approx(expected.item(), 1e-10), target.name
        value, gradient = target.cotangent(state)
        assert value == pytest.approx(expected.item(), 1e-10)
        assert gradient["params/G/0.weight"].any()


def test_columns_and_tensors_serve_as_reference(make_game):
    game = make_game()
    columns = Columns({"x": REAL}, tuple(map(str, range(50))), "point")
    state = game.initial()
    a = of_samples("frechet", game, reference=columns, n=30, chunk=7)
    b = of_samples("frechet", game, reference=REAL, n=30)
    assert a.value(state) == pytest.approx(b.value(state), 1e-12)


def test_the_seed_chooses_the_latents(make_game):
    game = make_game()
    assert torch.equal(samples_of(game, 8, seed=3), samples_of(game, 8, seed=3))
    assert not torch.equal(samples_of(game, 8, seed=3), samples_of(game, 8, seed=4))


def test_a_state_is_measured_by_any_function_of_it(make_game):
    state = make_game().initial()
    target = of_state(
        lambda p: p["D"]["weight"].norm(), name="norm", higher_is_better=False
    )
    value, gradient = target.cotangent(state)
    weight = state.params["D"]["weight"]
    assert value == target.value(state) == pytest.approx(float(weight.norm()))
    torch.testing.assert_close(gradient["params/D/weight"], weight / weight.norm())


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda p: (0 * p["D"]["weight"]).sum(), "'m' reaches no parameter"),
        (lambda p: p["D"]["weight"].square(), r"'m' gives shape \(1, 2\)"),
        (
            lambda p: p["D"]["weight"].sum() / 0,
            "'m' is -?inf. Most likely the players have div",
        ),
        (
            lambda p: (0 * p["D"]["bias"]).sum().sqrt(),
            "'m' is 0, but its gradient by 'params/D/bias'",
        ),
        (lambda p: p["D"]["bias"].item(), "'m' cannot be differentiated"),
    ],
)
def test_what_would_make_a_meaningless_trace_is_refused(make_game, function, text):
    target = of_state(function, name="m", higher_is_better=True)
    with pytest.raises(MetricError, match=text):
        target.cotangent(make_game().initial())


def test_samples_that_depend_on_no_parameter_are_refused(make_game):
    game = make_game(sample=lambda params, noise: noise["z"][:, :2])
    target = of_samples("frechet", game, reference=REAL, n=16)
    assert target.value(game.initial()) > 0
    with pytest.raises(
        MetricError, match=r"reaches no parameter; .* zeros that look like an answer"
    ):
        target.cotangent(game.initial())


def test_a_generator_that_is_wholly_frozen_is_refused(make_game):
    generator = torch.nn.Linear(3, 2).requires_grad_(False)
    game = make_game(generator)
    with pytest.raises(MetricError, match="reaches no parameter"):
        of_samples("frechet", game, reference=REAL, n=16).cotangent(game.initial())


@pytest.mark.parametrize(
    ("metric", "keywords", "text"),
    [
        ("frechet", dict(reference=REAL, n=1), "needs `n` of at least 2 .* got `n`=1"),
        (
            "frechet",
            dict(reference=REAL, chunk=0),
            "`chunk` of at least 1, got .*`chunk`=0",
        ),
        (
            "frechet",
            dict(),
            "'frechet_identity_2048' compares with real data. Give `reference`",
        ),
        (
            "frechet",
            dict(reference=REAL, averaged=True),
            "moving averages, but this game keeps none",
        ),
        (
            "frechet",
            dict(reference=REAL, options={"k": 3}),
            "unexpected keyword argument 'k'",
        ),
        ("mean_log_density", dict(), "missing a required argument: 'log_density'"),
        ("frechet", dict(higher_is_better=True), "a named metric has its own"),
        (torch.std, dict(), "`higher_is_better` is None .* A function needs a direction"),
        ("inception_score", dict(), "the feature map has no `logits`"),
        ("fid", dict(), "no metric 'fid'"),
    ],
)
def test_what_cannot_be_computed_is_refused_at_once(make_game, metric, keywords, text):
    with pytest.raises(MetricError, match=text):
        of_samples(metric, make_game(), **keywords)


def test_a_game_that_generates_nothing_is_refused(make_game):
    with pytest.raises(MetricError, match="this game's `sample` is None"):
        of_samples("frechet", make_game(sample=None), reference=REAL)


def test_a_reference_of_another_shape_is_refused(make_game):
    game = make_game()
    target = of_samples("frechet", game, reference=torch.randn(9, 5), n=16)
    with pytest.raises(DataError, match=r"`fake` has 2 columns, but .* has 5"):
        target.value(game.initial())
