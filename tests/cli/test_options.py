"""The recipe that options make."""

import pytest

from counterplay._adjoint import FirstOrder, Implicit, Unroll
from counterplay.cli._options import adjoint_of, recipe_of
from counterplay.errors import ConfigError


BASE = {
    "data": {"name": "ring", "n_modes": 4},
    "nets": {"name": "mlp", "width": 8},
    "game": {"name": "gan"},
    "run": {"seconds": 3.0},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3", 3),
        ("true", True),
        ("[0.5, 0.9]", [0.5, 0.9]),
        ('"hinge"', "hinge"),
        ("hinge", "hinge"),
        ("a/path.csv", "a/path.csv"),
        ("a=b", "a=b"),
    ],
)
def test_a_value_is_toml_or_text(text, value):
    recipe = recipe_of(BASE, [f"metric.options.recall.it={text}"])
    assert recipe.metric["options"]["recall"]["it"] == value


@pytest.mark.parametrize("text", ["game.lr_g", "lr_g=3", ".lr_g=3", "game.=3"])
def test_an_assignment_has_a_table_a_key_and_a_value(text):
    with pytest.raises(ConfigError, match=r"`--set` takes TABLE.KEY=VALUE, .* got '"):
        recipe_of(BASE, [text])


def test_an_assignment_does_not_go_through_a_value():
    with pytest.raises(ConfigError, match=r"goes through 'name', which is no table"):
        recipe_of(BASE, ["game.name.first=1"])


def test_the_base_is_not_changed():
    recipe_of(BASE, ["nets.width=9"], named={"data.name": "grid"})
    assert BASE["nets"] == {"name": "mlp", "width": 8}
    assert BASE["data"]["name"] == "ring"


def test_another_name_takes_the_place_of_the_table():
    assert recipe_of(BASE, named={"data.name": "ring"}).data == {
        "name": "ring",
        "n_modes": 4,
    }
    assert recipe_of(BASE, named={"data.name": "grid"}).data == {"name": "grid"}
    assert recipe_of(BASE, named={"data.name": None}).data == {"name": "ring", "n_modes": 4}


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(
        ConfigError, match=r"no key of \[game\] 'lr_gg'; the nearest is 'lr_g'"
    ):
        recipe_of(BASE, ["game.lr_gg=1"])


def test_adjoints_are_made_from_options():
    assert adjoint_of("unroll") == Unroll()
    assert adjoint_of("unroll", last=5, memory=2**20) == Unroll(last=5, memory=2**20)
    assert adjoint_of("first_order", last=5) == FirstOrder(last=5)
    assert adjoint_of("implicit", depth=7, damping=0.1) == Implicit(depth=7, damping=0.1)
