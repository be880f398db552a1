"""StyleGAN2 against formulas by hand, and its influence on images and through adapters."""

from dataclasses import replace

import cases
import oracles
import pytest
import torch
from test_game_losses import applied, first_move, float64
from torch.nn.functional import softplus

from counterplay import games, nets
from counterplay._adjoint import Unroll
from counterplay._contract import visible_at_zero
from counterplay._influence import trace
from counterplay._play import play
from counterplay.errors import GameError
from counterplay.game import Batch


def on_images(*, rank=0, **options):
    """The game on its own networks, far from where adapters begin."""
    G, D = nets.pair(
        "stylegan2", (1, 8, 8), latent_dim=2, width=2, depth=1, rank=rank,
        dtype=torch.float64,
    )  # fmt: skip
    if rank:
        for network in (G, D):
            for seed, parameter in enumerate(network.parameters()):
                if parameter.requires_grad:
                    parameter.data += float64(*parameter.shape, seed=seed) / 10
    game = games.load("stylegan2")(
        G, D, latent_dim=2, eps_root=1e-4, ema_halflife=2.0, **options
    )
    data = replace(cases.points(6), tensors={"x": float64(6, 1, 8, 8).tanh()})
    return cases.Case(game, data, cases.wave_of(game, averaged=True))


def test_its_losses_are_logistic_with_a_penalty_at_instances():
    case = cases.make("stylegan2", r1=3.0)
    params, batch, noise, _ = first_move(case)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    x = batch["x"].clone().requires_grad_()
    real = applied(case, "D", x).flatten()
    fake = applied(case, "D", applied(case, "G", noise["z"])).flatten()
    (slope,) = torch.autograd.grad(real.sum(), x)
    of_real = softplus(-real) + 1.5 * slope.square().sum(1)
    expected = {
        "D": (weights * of_real).sum() / 6 + softplus(fake).mean(),
        "G": softplus(-fake).mean(),
    }
    for player, value in expected.items():
        found = case.game.losses[player](params, batch, noise, weights)
        torch.testing.assert_close(found, value)


def test_a_negative_penalty_is_refused():
    with pytest.raises(GameError, match=r"`r1` must be at least 0 \(0 is off\), got -1\.0"):
        cases.make("stylegan2", r1=-1.0)


@pytest.mark.parametrize("rank", [0, 1])
def test_influence_is_exact_through_modulation_and_adapters(rank):
    case = on_images(rank=rank)
    run = play(case.game, case.data, n_steps=4, batch_size=3)
    expected = oracles.unrolled(case.game, case.data, run.plan, 4, case.metric)
    found = trace(case.game, case.data, run, case.metric, adjoint=Unroll()).gradient
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-16)
    instance = int(found.abs().argmax())
    difference = oracles.finite_difference(case.game, case.data, run, case.metric, instance)
    assert difference == pytest.approx(float(found[instance]), rel=1e-5)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_image_at_weight_zero_is_invisible(rank):
    case = on_images(rank=rank)
    state, n = case.game.initial(), 4
    noise = case.game.draw(n, torch.Generator().manual_seed(1), state.view())
    batch = Batch(torch.arange(n), {"x": case.data["x"][:n]})
    ones = torch.ones(n, dtype=torch.float64)
    assert visible_at_zero(case.game, "D", state, batch, noise, ones)["x"] == 0


def test_only_adapters_are_trained():
    case = on_images(rank=1)
    before = case.game.initial()
    after = play(case.game, case.data, n_steps=4, batch_size=3).final
    for player in "GD":
        names = {name.rsplit(".", 1)[1] for name in before.params[player]}
        assert names == {"left", "right"}
        assert after.params[player].keys() == before.params[player].keys()
        for name, value in before.params[player].items():
            assert not torch.equal(after.params[player][name], value), name
        assert after.buffers[player].keys() == before.buffers[player].keys()
        for name, value in before.buffers[player].items():
            assert torch.equal(after.buffers[player][name], value), name
    assert after.averages["G"].keys() == before.params["G"].keys()
