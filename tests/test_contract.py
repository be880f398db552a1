"""The weight contract: who breaks it is refused, with the layer named."""

from dataclasses import replace

import cases
import pytest
import torch
from torch import nn

from counterplay import games
from counterplay._contract import visible_at_zero
from counterplay._play import play
from counterplay._trajectory import draw, make_plan, weights_of
from counterplay.errors import DataError, GameError
from counterplay.game import apply_of


class MinibatchSpread(nn.Module):
    """The spread of a batch as one more column."""

    def forward(self, x):
        spread = x.std(0, correction=0).mean()
        return torch.cat([x, spread.expand(len(x), 1)], 1)


def mixing(**options):
    generator, _ = cases.networks()
    discriminator = nn.Sequential(
        nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.3), MinibatchSpread(), nn.Linear(5, 1)
    ).double()
    return games.load("gan")(generator, discriminator, latent_dim=2, **options)


def test_a_layer_that_mixes_instances_is_refused_and_named():
    with pytest.raises(
        GameError,
        match=r"At weight 0 .* player 'D' through column 'x' \(the layer at '3' mixes the .*"
        "`couples_instances=True`",
    ):
        play(mixing(), cases.points(), n_steps=1, batch_size=4)


def test_the_check_changes_nothing():
    game, data = mixing(), cases.points()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    for _ in range(2):
        with pytest.raises(GameError, match=r"the layer at '3'"):
            play(game, data, n_steps=1, batch_size=4)
    assert torch.equal(torch.rand(2), expected)


def test_a_game_may_couple_instances_on_purpose():
    game = replace(mixing(), couples_instances=True)
    assert play(game, cases.points(), n_steps=2, batch_size=4).n_steps == 2


def test_batch_norm_in_a_reading_player_is_refused_and_named():
    generator, _ = cases.networks()
    discriminator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(
        GameError, match=r"Player 'D' has a BatchNorm1d at '1'.*Use GroupNorm"
    ):
        games.load("gan")(generator, discriminator.double(), latent_dim=2)


def test_a_loss_that_forgets_its_weights_is_refused():
    case = cases.gan()
    D = apply_of("D", case.game.modules["D"])
    loss = lambda params, batch, noise, weights: D(params, batch["x"]).square().mean()
    game = replace(case.game, losses={**case.game.losses, "D": loss})
    with pytest.raises(
        GameError, match=r"through column 'x', so the influence.*by its weight"
    ):
        play(game, case.data, n_steps=1, batch_size=4)


def test_a_loss_that_reads_two_columns_is_refused_without_a_layer_name():
    case = cases.ridge()
    loss = lambda params, batch, noise, weights: (
        params["D"]["weight"].sum() + batch["y"].mean()
    )
    with pytest.raises(GameError, match=r"through column 'y'"):
        play(replace(case.game, losses={"D": loss}), case.data, n_steps=1, batch_size=4)


@pytest.mark.parametrize("schedule", [(("G",), ("D",)), (("G",), ("G", "D"))])
def test_the_first_move_that_reads_is_checked(schedule):
    game = replace(mixing(), schedule=schedule)
    with pytest.raises(GameError, match=r"the layer at '3'"):
        play(game, cases.points(), n_steps=1, batch_size=4)


def test_every_player_that_reads_is_checked():
    game = cases.make("gan").game
    schedule = (("D",), ("G",))

    def leaking(params, batch, noise, weights):
        del weights
        return game.losses["G"](params, batch, noise, None) + batch["x"].mean()

    losses = {"D": game.losses["D"], "G": leaking}
    both = replace(game, losses=losses, readers=("D", "G"), schedule=schedule)
    with pytest.raises(GameError, match=r"player 'G' through column 'x'"):
        play(both, cases.points(), n_steps=1, batch_size=4)


def test_what_shows_at_weight_zero_is_measured():
    case = cases.ridge()
    plan = make_plan(case.data, batch_size=4, seed=0)
    state = case.game.initial()
    batch, noise = draw(case.game, case.data, plan, state)
    leaking = replace(
        case.game,
        losses={"D": lambda params, batch, noise, weights: 3 * batch["y"].sum()},
    )
    weights = weights_of(plan, batch, state)
    assert visible_at_zero(leaking, "D", state, batch, noise, weights) == {
        "x": 0.0,
        "y": 3.0,
    }
    assert visible_at_zero(case.game, "D", state, batch, noise, weights) == {
        "x": 0.0,
        "y": 0.0,
    }
    assert torch.equal(weights, torch.ones(4, dtype=torch.float64))


def without_a_label(column="y"):
    data = cases.labelled()
    y = data["y"].clone()
    y[[2, 5]] = -1
    return replace(data, tensors={"x": data["x"], column: y})


@pytest.mark.parametrize("name", ["acgan", "amgan", "cgan", "cogan"])
def test_a_game_that_needs_every_label_names_who_has_none(name):
    game = cases.make(name).game
    with pytest.raises(
        DataError, match=r"2 of 8 .* no label, '0-2' for one \(its `y` is -1\).*'semi_sup"
    ):
        play(game, without_a_label(), n_steps=1, batch_size=4)


@pytest.mark.parametrize("name", ["semi_supervised_gan", "gan"])
def test_other_games_play_on_instances_without_a_label(name):
    run = play(cases.make(name).game, without_a_label(), n_steps=3, batch_size=4)
    assert run.final.step == 3
