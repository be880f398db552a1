"""Other scores, by brute force: the highest is removed first."""

import cases
import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest

from counterplay import _rng, baselines
from counterplay._influence import trace
from counterplay._play import play
from counterplay.errors import DataError


def features(n=200, seed=0):
    x = torch.randn(
        n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    x[7] = 20.0
    return x


def test_a_random_order_is_a_permutation_that_depends_on_the_seed():
    scores = baselines.random(50, seed=1)
    assert sorted(scores.tolist()) == list(range(50))
    assert torch.equal(scores, baselines.random(50, seed=1))
    assert not torch.equal(scores, baselines.random(50, seed=2))


def test_an_outlier_is_isolated_first():
    x = features()
    scores = baselines.isolation_forest(x, n_trees=50, seed=3)
    forest = IsolationForest(n_estimators=50, random_state=3).fit(x.numpy())
    np.testing.assert_allclose(scores, -forest.score_samples(x.numpy()))
    assert scores.argmax() == 7


def test_density_is_the_distance_under_a_shrunk_gaussian():
    x = features()
    scores = baselines.density(x)
    assert scores.argmax() == 7
    fit = LedoitWolf().fit(x.numpy())
    centred = x.numpy() - x.numpy().mean(0)
    expected = (centred @ np.linalg.inv(fit.covariance_) * centred).sum(1)
    np.testing.assert_allclose(scores, expected)


def final_state(**options):
    case = cases.gan(optimizer="adam", **options)
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    return case, run.final


def score_of(state, x):
    params = state.params["D"]
    hidden = torch.tanh(x @ params["0.weight"].T + params["0.bias"])
    return (hidden @ params["2.weight"].T + params["2.bias"])[:, 0]


@pytest.mark.parametrize("batch_size", [3, 8, 256])
def test_the_discriminator_finds_least_real_what_costs_it_most(batch_size):
    case, state = final_state()
    scores = baselines.discriminator_score(
        case.game, case.data, state, batch_size=batch_size
    )
    expected = torch.nn.functional.softplus(-score_of(state, case.data["x"]))
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("batch_size", [3, 8])
def test_the_gradient_norm_is_that_of_each_instance_alone(batch_size):
    case, state = final_state()
    scores = baselines.gradient_norm(case.game, case.data, state, batch_size=batch_size)
    for j in range(8):
        params = {k: v.clone().requires_grad_() for k, v in state.params["D"].items()}
        hidden = torch.tanh(case.data["x"][j] @ params["0.weight"].T + params["0.bias"])
        loss = torch.nn.functional.softplus(
            -hidden @ params["2.weight"][0] - params["2.bias"]
        )
        grads = torch.autograd.grad(loss, list(params.values()))
        norm = torch.cat([grad.flatten() for grad in grads]).norm()
        assert scores[j].item() == pytest.approx(norm.item(), rel=1e-9)


@pytest.mark.parametrize("extra", cases.EXTRAS)
def test_scores_work_with_every_layer(extra):
    case, state = final_state(**cases.EXTRAS[extra])
    for score in (baselines.discriminator_score, baselines.gradient_norm):
        found = score(case.game, case.data, state)
        assert found.shape == (8,)
        assert torch.isfinite(found).all()
        assert found.dtype == torch.float64


def test_the_loss_on_held_out_data_is_traced_like_a_metric():
    case = cases.gan(optimizer="adam")
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    held_out = cases.points(40, seed=9)
    target = baselines.discriminator_loss(case.game, held_out, n=16, seed=2)
    assert target.name == "loss_D_16"
    assert not target.higher_is_better
    influence = trace(case.game, case.data, run, target)
    assert influence.value == pytest.approx(target.value(run.final))
    assert (influence.gradient != 0).any()


def test_the_loss_on_held_out_data_is_the_games_own():
    case, state = final_state()
    held_out = cases.points(20, seed=9)
    target = baselines.discriminator_loss(case.game, held_out, n=20, seed=4)
    z = case.game.draw(20, _rng.generator(4, "held-out noise"), {})["z"]
    fake = case.game.sample(state.view(), {"z": z})
    softplus = torch.nn.functional.softplus
    real_loss = softplus(-score_of(state, held_out["x"])).mean()
    expected = real_loss + softplus(score_of(state, fake)).mean()
    assert target.value(state) == pytest.approx(expected.item(), rel=1e-12)


def test_no_held_out_data_are_refused():
    case = cases.gan()
    with pytest.raises(DataError, match=r"`batch_size` must be at least 1, got 0"):
        baselines.discriminator_loss(case.game, cases.points(8).select([]))
