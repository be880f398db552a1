"""Games with an encoder make an instance again; games with a classifier name its class."""

import cases
import pytest
import torch

from counterplay import games
from counterplay._play import play


def by_hand(name, modules, x):
    """The reconstruction by the modules themselves."""
    match name:
        case "ali":  # through the mean of the codes
            codes = modules["G"]["encoder"](x)[:, :2]
            return modules["G"]["generator"](codes)
        case "bigan":
            return modules["G"]["generator"](modules["G"]["encoder"](x))
        case "gaan":
            return modules["G"](modules["E"](x))
        case "ebgan":
            return modules["D"](x)[0]


@pytest.mark.parametrize("name", ["ali", "bigan", "ebgan", "gaan"])
def test_reconstructions_are_those_of_the_modules(name):
    case = cases.make(name)
    run = play(case.game, case.data, n_steps=4, batch_size=4)
    for player, module in case.game.modules.items():
        module.load_state_dict(run.final.view()[player])
    x = cases.points(5, seed=1)["x"]
    found = case.game.reconstruct(run.final.view(), x)
    torch.testing.assert_close(found, by_hand(name, case.game.modules, x))
    assert found.shape == x.shape


def test_a_game_says_what_it_can_do_besides_generating():
    options = dict(reversed(cases.PLAYED))
    made = {name: cases.make(name, **options[name]).game for name in games.names()}
    can = lambda what: {name for name, game in made.items() if getattr(game, what)}
    assert can("reconstruct") == {"ali", "bigan", "ebgan", "gaan"}
    assert can("classify") == {"semi_supervised_gan"}
    needs = {name: game.labels for name, game in made.items() if game.labels != "none"}
    assert needs == {
        **dict.fromkeys(("acgan", "amgan", "cgan", "cogan", "sagan"), "all"),
        "semi_supervised_gan": "some",
    }
