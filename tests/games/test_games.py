"""The contract of every game: what is in the folder has an exact influence."""

import ast
import importlib
from pathlib import Path

import cases
import oracles
import pytest
import torch

from counterplay import games
from counterplay._adjoint import Unroll
from counterplay._contract import visible_at_zero
from counterplay._influence import trace
from counterplay._play import play
from counterplay._step import detached, step
from counterplay._trajectory import draw, layer_noise, weights_of
from counterplay.errors import GameError


N_STEPS = 6
each_game = pytest.mark.parametrize("name", games.names())
each_setting = pytest.mark.parametrize(
    ("name", "options"),
    cases.PLAYED,
    ids=[
        "-".join([name, *(f"{key}={value}" for key, value in options.items())])
        for name, options in cases.PLAYED
    ],
)


def moves_of(case):
    """The state before each move, and all that the move reads."""
    run = play(case.game, case.data, n_steps=N_STEPS, batch_size=4, every=1)
    found = []
    for move in range(N_STEPS):
        state = run.checkpoints[move]
        batch, noise = draw(case.game, case.data, run.plan, state)
        found.append((run.plan, state, batch, noise, weights_of(run.plan, batch, state)))
    return found


@each_setting
def test_the_adjoint_is_the_derivative_of_the_whole_run(name, options):
    case = cases.make(name, **options)
    run = play(case.game, case.data, n_steps=N_STEPS, batch_size=4)
    expected = oracles.unrolled(case.game, case.data, run.plan, N_STEPS, case.metric)
    found = trace(case.game, case.data, run, case.metric, adjoint=Unroll()).gradient
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-16)
    assert (expected != 0).any()


@each_setting
def test_an_instance_at_weight_zero_is_invisible(name, options):
    case = cases.make(name, **options)
    for plan, state, batch, noise, weights in moves_of(case):
        for player in case.game.movers(state.step) if len(batch) else ():
            with layer_noise(case.game, plan, state.step):
                seen = visible_at_zero(case.game, player, state, batch, noise, weights)
            assert set(seen.values()) <= {0.0}, (player, seen)


@each_setting
def test_a_move_changes_none_of_its_inputs(name, options):
    case = cases.make(name, **options)
    for plan, state, batch, noise, weights in moves_of(case):
        tensors = {
            **state.tensors(),
            **{f"batch/{name}": column for name, column in batch.columns.items()},
            **{f"noise/{name}": value for name, value in noise.items()},
            **{f"module/{p}/{k}": v for p, m in case.game.modules.items() for k, v in m.state_dict().items()},
            "index": batch.index,
            "weights": weights,
        }  # fmt: skip
        before = {name: tensor.clone() for name, tensor in tensors.items()}
        names = {
            part: list(getattr(state, part)) for part in ("params", "buffers", "slots")
        }
        with layer_noise(case.game, plan, state.step):
            step(case.game, detached(state, requires_grad=True), batch, noise, weights)
            step(case.game, state, batch, noise, weights)
        for name, tensor in tensors.items():
            assert torch.equal(tensor, before[name]), name
        assert names == {part: list(getattr(state, part)) for part in names}
        assert state.tensors().keys() <= tensors.keys()


@each_setting
def test_the_same_seed_gives_the_same_bits(name, options):
    runs = []
    for _ in range(2):
        case = cases.make(name, **options)
        runs.append(play(case.game, case.data, n_steps=N_STEPS, batch_size=4, seed=2))
        torch.rand(1)
    assert runs[0].fingerprints == runs[1].fingerprints


@each_game
def test_the_file_says_what_the_game_is(name):
    module = importlib.import_module(f"counterplay.games.{name}")
    for section in ("Players:", "Columns:", "Source:"):
        assert f"\n{section} " in module.__doc__
    lines = Path(module.__file__).read_text().splitlines()
    assert len(lines) <= 150
    functions = [
        node.name
        for node in ast.parse("\n".join(lines)).body
        if isinstance(node, ast.FunctionDef)
    ]
    assert [f for f in functions if not f.startswith("_")] == [name]
    assert games.load(name) is getattr(module, name)


def test_a_game_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(
        GameError, match=r"no game 'gann'; there are \[.*'gan', .*nearest is 'gan'"
    ):
        games.load("gann")
