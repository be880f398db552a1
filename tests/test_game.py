"""The vocabulary, and the two games' losses, draws, schedules and weight contract."""

import dataclasses
import math
import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from counterplay import games, losses, optim
from counterplay._step import step
from counterplay.errors import DataError, GameError
from counterplay.game import apply_of, Batch, Columns, Game
from counterplay.games.gan import gan
from counterplay.games.lqgan import lqgan


families = get_args(losses.Family)
penalties = [{}, {"gradient_penalty": 3.0}, {"r1": 2.0, "r2": 5.0}]


def float64(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def networks():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
    discriminator = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    return generator.double(), discriminator.double()


def make(**options):
    return gan(*networks(), latent_dim=2, **options)


def any_game(**changes):
    modules = {"G": nn.Linear(1, 1), "D": nn.Linear(1, 1)}
    fields = {
        "modules": modules,
        "losses": dict.fromkeys(modules, lambda *_: torch.zeros(())),
        "optimizers": dict.fromkeys(modules, optim.sgd()),
        "schedule": (("D",), ("G",)),
        "draw": lambda *_: {},
    }
    return Game(**{**fields, **changes})


def first_move(game, n=4):
    """Arguments of the losses in the first move."""
    params = game.initial().view()
    batch = Batch(torch.arange(n), {"x": float64(n, 3, seed=7)})
    noise = game.draw(n, torch.Generator().manual_seed(1), params)
    return params, batch, noise, torch.ones(n, dtype=torch.float64)


def columns():
    tensors = {"x": torch.arange(6.0).reshape(3, 2), "y": torch.tensor([0, 1, 0])}
    return Columns(tensors, ("a", "b", "c"), class_names=("cat", "dog"))


def test_columns_are_selected_and_converted_together():
    chosen = columns().select([2, 0]).to(dtype=torch.float64)
    assert chosen.ids == ("c", "a")
    assert len(chosen) == 2
    assert chosen["x"].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert (chosen["x"].dtype, chosen["y"].dtype) == (torch.float64, torch.int64)


def test_labels_are_names_numbers_or_nothing():
    ids, known = ("a", "b", "c"), torch.tensor([1, -1, 0])
    labelled = Columns({"x": torch.zeros(3, 2), "y": known}, ids, class_names=("no", "yes"))
    assert labelled.labels == ("yes", "", "no")
    assert dataclasses.replace(labelled, class_names=()).labels == ("1", "", "0")
    measured = Columns({"y": torch.tensor([0.25, -1.0, 3.0])}, ids)
    assert measured.labels == ("0.25", "-1", "3")
    assert Columns({"x": torch.zeros(3, 2)}, ids).labels is None


def test_a_fingerprint_depends_on_values_and_ids():
    data = columns()
    changed = dataclasses.replace(data, tensors={**data.tensors, "x": data["x"] + 1})
    renamed = dataclasses.replace(data, ids=("a", "b", "d"))
    assert len({data.fingerprint, changed.fingerprint, renamed.fingerprint}) == 3
    assert columns().fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (
            lambda: Columns({"x": torch.ones(2)}, ("a",)),
            "Column 'x' has 2 rows, but .* 1 ids",
        ),
        (
            lambda: Columns({"x": torch.tensor([[0.0, 1.0], [0.0, math.nan]])}, ("a", "b")),
            "Column 'x' of instance 'b' holds NaN or infinity",
        ),
        (
            lambda: Columns({"y": torch.tensor([math.inf, 1.0])}, ("a", "b")),
            "Column 'y' of instance 'a' holds NaN or infinity",
        ),
        (lambda: columns()["z"], r"no column 'z'; there are \['x', 'y'\]"),
        (
            lambda: Batch(torch.arange(1), {"x": torch.ones(1)})["y"],
            r"A loss reads the column 'y', but the data has \['x'\]",
        ),
    ],
)
def test_wrong_data_is_refused(act, text):
    with pytest.raises(DataError, match=text):
        act()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"losses": {}},
            r"`losses` must have one entry for each player of \['D', 'G'\], got \[\]",
        ),
        ({"optimizers": {"G": optim.sgd()}}, r"`optimizers` must have .* got \['G'\]"),
        (
            {"schedule": (("G",),)},
            r"`schedule` must move every player .* got moves of \['G'\]",
        ),
        ({"schedule": (("D", "G", "E"),)}, r"got moves of \['D', 'E', 'G'\]"),
        ({"readers": ("E",)}, r"`readers` names \['E'\], but the players are \['D', 'G'\]"),
        ({"averages": {"E": 1.0}}, r"`averages` names \['E'\], but the players are"),
        ({"averages": {"G": 0.0}}, "`averages` gives 'G' a half-life of 0.0 moves"),
        (
            {"modules": {"G": nn.Linear(1, 1), "D": nn.Sequential(nn.BatchNorm1d(1))}},
            "Player 'D' has a BatchNorm1d at '0'. It mixes the instances of a batch",
        ),
    ],
)
def test_a_wrong_game_is_refused(changes, text):
    with pytest.raises(GameError, match=text):
        any_game(**changes)


def test_batch_norm_is_allowed_where_no_instance_enters_or_when_declared():
    normed = nn.Sequential(nn.BatchNorm1d(1))
    any_game(modules={"G": normed, "D": nn.Linear(1, 1)})
    any_game(modules={"G": nn.Linear(1, 1), "D": normed}, couples_instances=True)


@pytest.mark.parametrize(
    "schedule",
    [(("D", "G"),), (("D",), ("G",)), (("D",),) * 3 + (("G",),), (("G",), ("D", "G"))],
)
def test_counts_of_reads_and_updates_equal_a_loop(schedule):
    game = any_game(schedule=schedule)
    reads, updates = 0, dict.fromkeys(game.players, 0)
    for move in range(25):
        assert game.n_reads(move) == reads
        assert {player: game.n_updates(player, move) for player in game.players} == updates
        reads += "D" in game.movers(move)
        for player in game.movers(move):
            updates[player] += 1


def test_the_initial_state_is_a_copy_and_frozen_parameters_are_buffers():
    generator = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Dropout())
    generator[0].bias.requires_grad_(False)
    game = any_game(modules={"G": generator, "D": nn.Linear(2, 1)}, averages={"G": 5.0})
    state = game.initial()
    assert set(state.params["G"]) == {"0.weight", "1.weight", "1.bias"}
    assert {"0.bias", "1.running_mean", "1.running_var"} <= set(state.buffers["G"])
    generator[0].weight.data.zero_()
    assert state.params["G"]["0.weight"].any()
    assert game.has_dropout
    assert not any_game().has_dropout
    changed = {name: value + 1 for name, value in state.tensors().items()}
    assert torch.equal(
        state.with_tensors(changed).view(averaged=True)["G"]["0.weight"],
        state.averages["G"]["0.weight"] + 1,
    )


def test_a_network_hands_back_its_buffers_and_evaluates_without_changing_them():
    apply = apply_of("G", nn.BatchNorm1d(2, momentum=1.0))
    params = (
        any_game(modules={"G": nn.BatchNorm1d(2), "D": nn.Linear(2, 1)}).initial().view()
    )
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    apply.evaluated(params, x)
    assert params["G"]["running_mean"].tolist() == [0.0, 0.0]
    apply(params, x)
    assert params["G"]["running_mean"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("penalty", penalties, ids=str)
@pytest.mark.parametrize("loss", families)
def test_an_instance_at_weight_zero_is_invisible(loss, penalty):
    game = make(loss=loss, **penalty)
    params, batch, noise, weights = first_move(game)
    x = batch["x"].requires_grad_()
    weights[1] = 0.0
    value = game.losses["D"](params, Batch(batch.index, {"x": x}), noise, weights)
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient[1].tolist() == [0.0] * 3
    assert gradient[[0, 2, 3]].abs().sum(1).min() > 0


@pytest.mark.parametrize("penalty", penalties, ids=str)
@pytest.mark.parametrize("loss", families)
def test_weight_two_is_the_same_as_having_the_instance_twice(loss, penalty):
    game = make(loss=loss, **penalty)
    params, batch, noise, ones = first_move(game)

    def real_part(rows, weights):
        twin = Batch(rows, {"x": batch["x"][rows]})
        drawn = {name: value[rows] for name, value in noise.items()}
        loss = [game.losses["D"](params, twin, drawn, w) for w in (weights, 0 * weights)]
        return len(rows) * (loss[0] - loss[1])

    twice = ones + torch.tensor([0, 0, 1, 0])
    doubled = real_part(torch.tensor([0, 1, 2, 3, 2]), torch.ones(5).double())
    torch.testing.assert_close(real_part(torch.arange(4), twice), doubled)


def test_the_cross_entropy_game_is_that_of_torch():
    game = make(loss="minimax")
    params, batch, noise, weights = first_move(game)
    generator, discriminator = networks()
    fake = generator(noise["z"])
    on_real, on_fake = discriminator(batch["x"]), discriminator(fake)
    loss_d = cross_entropy(on_real, torch.ones_like(on_real))
    loss_d = loss_d + cross_entropy(on_fake, torch.zeros_like(on_fake))
    loss_g = -cross_entropy(on_fake, torch.zeros_like(on_fake))
    torch.testing.assert_close(
        game.losses["D"](params, batch, noise, weights), loss_d.detach()
    )
    torch.testing.assert_close(
        game.losses["G"](params, batch, noise, weights), loss_g.detach()
    )


def test_the_penalties_enter_with_their_factors():
    game = make(loss="wasserstein", gradient_penalty=3.0, r1=2.0, r2=5.0)
    params, batch, noise, weights = first_move(game)
    _, discriminator = networks()
    plain = make(loss="wasserstein").losses["D"](params, batch, noise, weights)
    value = game.losses["D"](params, batch, noise, weights)
    real, fake = batch["x"], networks()[0](noise["z"]).detach()
    mix = noise["mix"][:, None]

    def slope(x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(discriminator(x).sum(), x)[0].norm(dim=1)

    expected = 3.0 * (slope(mix * real + (1 - mix) * fake) - 1).square().mean()
    expected += (
        2.0 / 2 * slope(real).square().mean() + 5.0 / 2 * slope(fake).square().mean()
    )
    torch.testing.assert_close(value - plain, expected)


def test_losses_reach_the_other_player():
    game = make()
    params, batch, noise, weights = first_move(game)
    for mover, other in (("D", "G"), ("G", "D")):
        leaves = {name: value.requires_grad_() for name, value in params[other].items()}
        view = {**params, other: leaves}
        value = game.losses[mover](view, batch, noise, weights)
        grads = torch.autograd.grad(value, list(leaves.values()))
        assert sum(grad.abs().sum() for grad in grads) > 0


def test_the_generator_needs_no_batch():
    game = make()
    params, _, noise, _ = first_move(game)
    nothing = Batch(torch.arange(0), {"x": torch.empty(0, 3).double()})
    assert game.losses["G"](params, nothing, noise, torch.ones(0)).isfinite()


def test_noise_is_what_the_losses_read_in_the_generators_precision():
    game = make()
    assert set(game.draw(5, torch.Generator(), {})) == {"z"}
    noise = make(gradient_penalty=1.0).draw(5, torch.Generator(), {})
    assert noise["z"].shape == (5, 2)
    assert noise["mix"].shape == (5,)
    assert {value.dtype for value in noise.values()} == {torch.float64}
    single = gan(nn.Linear(2, 3), nn.Linear(3, 1), latent_dim=2)
    assert single.draw(5, torch.Generator(), {})["z"].dtype == torch.float32


def test_samples_come_from_the_generator_in_evaluation_mode():
    generator = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.9))
    game = gan(generator, nn.Linear(3, 1), latent_dim=2)
    z = torch.randn(5, 2)
    sample = game.sample(game.initial().view(), {"z": z})
    torch.testing.assert_close(sample, generator.eval()(z).detach())


def test_schedules_and_optimizers_follow_their_options():
    assert make().schedule == (("D",), ("G",))
    assert make(n_critic=3).schedule == (("D",), ("D",), ("D",), ("G",))
    assert make(simultaneous=True).schedule == (("D", "G"),)
    assert make(ema_halflife=50.0).averages == {"G": 50.0}
    named = make(optimizer="sgd", lr_g=0.1, lr_d=0.2, momentum=0.5).optimizers
    assert named["G"].description == optim.sgd(0.1, momentum=0.5).description
    assert named["D"].description["lr"] == 0.2
    own = {"G": optim.sgd(0.3), "D": optim.adam(0.4)}
    assert make(optimizers=own).optimizers == own


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_critic": 0}, "`n_critic` must be at least 1"),
        ({"n_critic": 2, "simultaneous": True}, "got n_critic=2 with simultaneous=True"),
        ({"r1": -1.0}, r"penalties at least 0 \(0 is off\), got .* r1=-1\.0"),
        ({"gradient_penalty": -2.0}, r"penalties .* got .* gradient_penalty=-2\.0"),
        ({"loss": "bce"}, "no loss 'bce'"),
        ({"optimizer": "lion"}, "no optimizer 'lion'"),
        ({"optimizers": {"G": optim.sgd()}}, r"`optimizers` must .* got \['G'\]"),
    ],
)
def test_an_impossible_gan_is_refused(options, text):
    with pytest.raises(GameError, match=text):
        make(**options)


class Quadratic(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(float64(2, 2, seed=3))
        self.linear = nn.Parameter(float64(2, seed=4))

    def forward(self, x):
        return torch.einsum("ni,ij,nj->n", x, self.matrix, x) + x @ self.linear


def play_lqgan(weights, n_rounds):
    # Full batches, and a D that answers exactly: its rate is one over its curvature.
    options = {"decay": 2.0, "whitened": True, "lr_d": 1 / 2.0, "lr_g": 0.3}
    game = lqgan(nn.Linear(2, 2).double(), Quadratic(), **options)
    x = float64(6, 2, seed=5) + torch.tensor([1.0, 0.5], dtype=torch.float64)
    batch, state = Batch(torch.arange(6), {"x": x}), game.initial()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(2 * n_rounds):
            state, _ = step(game, state, batch, game.draw(6, rng, {}), weights)
    return x, state


def moments(x, weights):
    return weights @ x / len(x), (weights[:, None] * x).mT @ x / len(x)


def test_the_best_discriminator_is_the_difference_of_the_moments():
    torch.manual_seed(0)
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0, 1.0, 0.5], dtype=torch.float64)
    start = nn.Linear(2, 2).double()  # G at D's first move, from the same seed
    torch.manual_seed(0)
    x, state = play_lqgan(weights, n_rounds=1)
    mean, second = moments(x, weights)
    A, b = start.weight.detach(), start.bias.detach()
    expected = {"linear": (mean - b) / 2, "matrix": (second - A @ A.mT - b.outer(b)) / 2}
    torch.testing.assert_close(state.params["D"], expected)


@pytest.mark.parametrize("removed", [None, 3])
def test_the_game_ends_at_the_moments_of_the_weighted_data(removed):
    torch.manual_seed(0)
    weights = torch.ones(6, dtype=torch.float64)
    if removed is not None:
        weights[removed] = 0.0
    x, state = play_lqgan(weights, n_rounds=500)
    mean, second = moments(x, weights)
    A, b = state.params["G"]["weight"], state.params["G"]["bias"]
    torch.testing.assert_close(b, mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(A @ A.mT, second - b.outer(b), rtol=1e-6, atol=1e-6)
    assert max(value.abs().max() for value in state.params["D"].values()) < 1e-6


def test_whitened_latents_have_exact_moments():
    game = lqgan(nn.Linear(3, 2).double(), Quadratic(), latent_dim=3, whitened=True)
    z = game.draw(7, torch.Generator(), {})["z"]
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double())
    torch.testing.assert_close(z.mT @ z / 7, torch.eye(3).double())
    with pytest.raises(GameError, match=r"needs a batch larger than `latent_dim`=3, got 3"):
        game.draw(3, torch.Generator(), {})


def test_a_linear_quadratic_game_needs_decay():
    with pytest.raises(GameError, match="`decay` must be above 0"):
        lqgan(nn.Linear(2, 2), Quadratic(), decay=0.0)


def test_every_game_loads_by_its_name():
    assert games.load("gan") is gan
    assert all(games.load(name).__name__ == name for name in games.names())


def test_an_unknown_game_is_refused_with_the_nearest():
    with pytest.raises(GameError, match=r"no game 'lqgam'; .* The nearest is 'lqgan'"):
        games.load("lqgam")


def test_listing_the_games_loads_none():
    code = "import sys; from counterplay import games as g; g.names(); sys.exit('gan' in vars(g))"
    subprocess.run([sys.executable, "-c", code], check=True)
