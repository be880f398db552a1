"""Games of attention, contrast and two domains against formulas written out by hand."""

import math
from dataclasses import replace

import cases
import oracles
import pytest
import torch
from test_game_losses import applied, first_move, float64, Given
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from counterplay import games, nets
from counterplay._adjoint import Unroll
from counterplay._contract import visible_at_zero
from counterplay._influence import trace
from counterplay._play import play
from counterplay.errors import GameError
from counterplay.game import Batch


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("sagan", {"n_critic": 0}, r"`n_critic` must be at least 1, got 0"),
        ("infomax_gan", {"weight_d": -1.0}, r"weights at least 0, got 1024, 5, 0\.2 and -1\.0"),
        ("cogan", {"domain": 2}, r"must be 2, .* `domain` 0 or 1, got 2 and 2"),
        ("cogan", {"n_classes": 10}, r"`n_classes` must be 2, .*, got 10 and 0"),
    ],
)  # fmt: skip
def test_impossible_options_of_these_games_are_refused(name, options, text):
    with pytest.raises(GameError, match=text):
        cases.make(name, **options)


def test_sagan_is_hinge_on_pairs_with_uniform_labels():
    case = cases.make("sagan")
    params, batch, noise, ones = first_move(case)
    fake = applied(case, "G", noise["z"], noise["y"])
    real = applied(case, "D", batch["x"], batch["y"])
    made = applied(case, "D", fake, noise["y"])
    expected = {
        "D": (1 - real).relu().mean() + (1 + made).relu().mean(),
        "G": -made.mean(),
    }
    for player, value in expected.items():
        found = case.game.losses[player](params, batch, noise, ones)
        torch.testing.assert_close(found, value)
    labels = case.game.draw(4000, torch.Generator().manual_seed(1), params)["y"]
    assert float(labels.double().mean()) == pytest.approx(0.5, abs=0.03)


def sagan_on_images():
    G, D = nets.networks(
        "sagan", nets.roles_of(games.load("sagan")), (1, 8, 8),
        {"latent_dim": 2, "n_classes": 2}, width=2, dtype=torch.float64,
    )  # fmt: skip
    for network in (G, D):  # a layer that attends
        for layer in network.modules():
            if isinstance(layer, nets.SelfAttention):
                layer.gamma.data.fill_(0.5)
    game = games.load("sagan")(G, D, n_classes=2, latent_dim=2, lr_g=0.01, lr_d=0.01)
    data = cases.labelled(6)
    tensors = {"x": float64(6, 1, 8, 8).tanh(), "y": data["y"]}
    return cases.Case(game, replace(data, tensors=tensors), cases.wave_of(game))


def test_influence_is_exact_through_attention_class_norms_and_spectral_norm():
    case = sagan_on_images()
    run = play(case.game, case.data, n_steps=4, batch_size=3)
    expected = oracles.unrolled(case.game, case.data, run.plan, 4, case.metric)
    found = trace(case.game, case.data, run, case.metric, adjoint=Unroll()).gradient
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-16)
    assert (expected != 0).any()


def infomax_on(places, whole, player="D", **options):
    """A loss of InfoMax-GAN on given features, with logits that cost nothing."""
    n, _, n_features = places.shape

    def function(x):
        rest = torch.ones(len(x) - n, 1, 1).double()
        return (
            10 * x[:, 0],
            torch.cat([places, rest.expand(-1, *places.shape[1:])]),
            torch.cat([whole, rest[..., 0].expand(-1, n_features)]),
        )

    options = {"n_features": n_features, "latent_dim": 1} | options
    game = games.load("infomax_gan")(Given(lambda z: z), Given(function), **options)
    x = torch.ones(n, 1, dtype=torch.float64)  # of logit 10; samples of -10 and 10
    batch, sign = Batch(torch.arange(n), {"x": x}), {"D": -1, "G": 1}[player]

    def loss(weights):
        return game.losses[player](game.initial().view(), batch, {"z": sign * x}, weights)

    return loss


def contrast_by_loops(places, whole, weights):
    n, n_places, _ = places.shape
    terms = []
    for i in range(n):
        others = sum(
            weights[j] * (whole[i] @ places[j, q]).exp()
            for j in range(n)
            for q in range(n_places)
            if j != i
        )
        for p in range(n_places):
            own = (whole[i] @ places[i, p]).exp()
            terms.append(-weights[i] * (own / (own + others)).log())
    return sum(terms) / (n * n_places)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_infomax_gan_tells_places_of_instances_apart(scale):
    places, whole = scale * float64(4, 3, 2), float64(4, 2, seed=1)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0], dtype=torch.float64)
    found = infomax_on(places, whole, weight_d=0.7)(weights)
    torch.testing.assert_close(found, 0.7 * contrast_by_loops(places, whole, weights))
    found = infomax_on(places, whole, "G", weight_g=0.3)(weights)
    expected = 0.3 * contrast_by_loops(places, whole, torch.ones(4)) - 10
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("n", "n_places"), [(4, 9), (2, 1)])
def test_without_features_the_contrast_is_that_of_chance(n, n_places):
    zeros = torch.zeros(n, n_places, 3).double()
    loss = infomax_on(zeros, zeros[:, 0], weight_d=1.0)
    expected = math.log(1 + (n - 1) * n_places)
    assert float(loss(torch.ones(n).double())) == pytest.approx(expected, abs=1e-12)


def test_an_instance_that_counts_nothing_may_have_any_features():
    places, whole = float64(3, 2, 2), float64(3, 2, seed=1)
    few = infomax_on(places[:2], whole[:2])
    places[2] = 1e6
    places.requires_grad_()
    weights = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
    found = infomax_on(places, whole)(weights)
    torch.testing.assert_close(found * 3, few(torch.ones(2).double()) * 2)
    slope, share = torch.autograd.grad(found, [places, weights])
    assert not slope[2].any()
    assert slope[:2].all()
    assert torch.isfinite(share).all()


def test_a_single_instance_has_nothing_to_be_told_from():
    places, whole = float64(1, 2, 2).requires_grad_(), float64(1, 2, seed=1)
    loss = infomax_on(places, whole)(torch.ones(1).double())
    (slope,) = torch.autograd.grad(loss, places)
    assert float(loss.detach()) == 0
    assert not slope.any()


def test_weights_of_the_contrast_have_the_derivative_of_differences():
    places, whole = float64(4, 3, 2), float64(4, 2, seed=1)
    loss = infomax_on(places, whole)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.8], dtype=torch.float64)
    assert torch.autograd.gradcheck(loss, weights.requires_grad_())


@pytest.mark.parametrize("family", ["mlp", "dcgan", "resnet"])
def test_images_that_are_one_cannot_be_told_apart(family):
    # Jensen's inequality: at least the logarithm of the number of negatives.
    n, x = 6, float64(1, 1, 8, 8).expand(6, 1, 8, 8)
    for seed in range(7):
        (D,) = nets.networks(
            family, ["contrastive_discriminator"], (1, 8, 8), {"n_features": 5},
            width=8, seed=seed, dtype=torch.float64,
        )  # fmt: skip
        _, places, whole = D(x)
        loss = infomax_on(places.detach(), whole.detach(), weight_d=1.0)
        found = float(loss(torch.ones(n).double()))
        assert found >= math.log((n - 1) * places.shape[1]) - 1e-9


def test_features_of_another_width_are_refused():
    case = cases.make("infomax_gan", n_features=3)
    game = games.load("infomax_gan")(
        case.game.modules["G"], case.game.modules["D"], latent_dim=2, n_features=4
    )
    with pytest.raises(GameError, match=r"shape \(12, 1, 3\) .* end in n_features=4"):
        game.losses["D"](*first_move(case))


def test_cogan_plays_one_gan_per_domain_on_the_same_latents():
    case = cases.make("cogan")
    params, batch, noise, ones = first_move(case)
    y = torch.tensor([0, 1, 0, 0, 1, 0])
    batch = Batch(batch.index, {"x": batch["x"], "y": y})
    expected = {"D": 0.0, "G": 0.0}
    for domain, fake in enumerate(applied(case, "G", noise["z"])):
        x = batch["x"][y == domain]
        label = lambda x, domain=domain: torch.full((len(x),), domain)
        real, made = applied(case, "D", x, label(x)), applied(case, "D", fake, label(fake))
        expected["D"] += cross_entropy(real, torch.ones_like(real))
        expected["D"] += cross_entropy(made, torch.zeros_like(made))
        expected["G"] += cross_entropy(made, torch.ones_like(made))
    for player, value in expected.items():
        found = case.game.losses[player](params, batch, noise, ones)
        torch.testing.assert_close(found, value)


def test_a_batch_without_a_domain_is_the_gan_of_the_other_and_fakes():
    case = cases.make("cogan")
    params, batch, noise, ones = first_move(case)
    batch = Batch(batch.index, {"x": batch["x"], "y": torch.ones(6, dtype=torch.int64)})
    found = case.game.losses["D"](params, batch, noise, ones)
    assert torch.isfinite(found)


def test_samples_of_the_coupled_gan_are_of_the_wanted_domain():
    own, other = (cases.make("cogan", domain=domain).game for domain in (0, 1))
    params = own.view(own.initial())
    noise = own.draw(5, torch.Generator().manual_seed(1), params)
    pair = own.modules["G"](noise["z"])
    for game, expected in zip((own, other), pair, strict=True):
        torch.testing.assert_close(game.sample(params, noise), expected)


@pytest.mark.parametrize("name", ["cogan", "infomax_gan"])
def test_convolutional_networks_keep_the_contract(name):
    factory = games.load(name)
    options = {"latent_dim": 2} | ({"n_features": 3} if name == "infomax_gan" else {})
    found = nets.networks(
        "dcgan", nets.roles_of(factory), (1, 8, 8), nets.sizes_of(factory, options),
        width=4, dtype=torch.float64,
    )  # fmt: skip
    game = factory(*found, **options)
    state, n = game.initial(), 4
    x, y = float64(n, 1, 8, 8).tanh(), torch.arange(n) % 2
    noise = game.draw(n, torch.Generator().manual_seed(1), state.view())
    batch = Batch(torch.arange(n), {"x": x, "y": y})
    ones = torch.ones(n, dtype=torch.float64)
    assert visible_at_zero(game, "D", state, batch, noise, ones)["x"] == 0
