"""Forwards: the same seed gives the same bits, whatever interrupts the run."""

from dataclasses import replace

import cases
import pytest
import torch

from counterplay._checkpoint import FolderCheckpoints
from counterplay._influence import trace
from counterplay._play import play
from counterplay.errors import DataError, GameError, PlayError, RunError


def everything():
    return cases.gan(optimizer="adam", dropout=0.2, **cases.EXTRAS["everything"])


def same(ours, theirs):
    ours, theirs = ours.tensors(), theirs.tensors()
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[k], theirs[k]) for k in ours
    )


def test_the_same_seed_gives_the_same_bits():
    case = everything()
    runs = [
        play(case.game, case.data, n_steps=9, batch_size=4, seed=seed) for seed in (3, 3, 4)
    ]
    assert runs[0].fingerprints == runs[1].fingerprints
    assert runs[0].fingerprints != runs[2].fingerprints
    assert runs[0].plan.fingerprint == runs[1].plan.fingerprint


def test_the_modules_are_read_and_never_written():
    case = everything()
    before = {
        (player, name): tensor.clone()
        for player, module in case.game.modules.items()
        for name, tensor in module.state_dict().items()
    }
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    play(case.game, case.data, n_steps=4, batch_size=4)
    assert torch.equal(torch.rand(3), expected)
    for (player, name), tensor in before.items():
        assert torch.equal(case.game.modules[player].state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 3, 6, 9, 10]),
        ({"every": 4}, [0, 4, 8, 10]),
        ({"every": 4, "since": 5}, [5, 8, 10]),
        ({"every": 100, "since": 10}, [10]),
    ],
)
def test_checkpoints_are_kept_where_asked(options, expected):
    case = cases.gan()
    run = play(case.game, case.data, n_steps=10, batch_size=4, **options)
    assert sorted(run.checkpoints) == sorted(run.fingerprints) == expected


def test_each_move_is_told():
    case, seen = cases.gan(), []
    play(
        case.game, case.data, n_steps=4, batch_size=4,
        on_step=lambda state, losses: seen.append((state.step, *losses)),
    )  # fmt: skip
    assert seen == [(1, "D"), (2, "G"), (3, "D"), (4, "G")]


@pytest.mark.parametrize("on_disk", [True, False])
def test_an_interrupted_run_continues_bit_for_bit(tmp_path, on_disk):
    case = everything()
    whole = play(case.game, case.data, n_steps=12, batch_size=4, every=3)
    kept = FolderCheckpoints(tmp_path, run="a") if on_disk else {}

    def interrupt(state, losses):
        if state.step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(
            case.game, case.data, n_steps=12, batch_size=4, every=3, checkpoints=kept,
            on_step=interrupt,
        )  # fmt: skip
    assert sorted(kept) == [0, 3, 6]
    steps = []
    run = play(
        case.game, case.data, n_steps=12, batch_size=4, every=3, checkpoints=kept,
        on_step=lambda state, losses: steps.append(state.step),
    )  # fmt: skip
    assert steps == list(range(7, 13))
    assert run.fingerprints == whole.fingerprints
    assert same(run.final, whole.final)
    ours = trace(case.game, case.data, run, case.metric).gradient
    assert torch.equal(ours, trace(case.game, case.data, whole, case.metric).gradient)


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_finished_run_is_not_played_again_and_may_be_made_longer_or_shorter(
    tmp_path, on_disk
):
    case = everything()
    options = {"batch_size": 4, "every": 4}
    kept = FolderCheckpoints(tmp_path, run="a") if on_disk else {}
    for n_steps in (8, 8, 12, 10):
        run = play(case.game, case.data, n_steps=n_steps, checkpoints=kept, **options)
        again = play(case.game, case.data, n_steps=n_steps, **options)
        assert same(run.final, again.final)
        assert max(run.checkpoints) == run.n_steps == n_steps
        ours = trace(case.game, case.data, run, case.metric).gradient
        theirs = trace(case.game, case.data, again, case.metric).gradient
        assert torch.equal(ours, theirs)


def test_a_damaged_or_foreign_checkpoint_stops_the_run(tmp_path):
    case = cases.gan()
    options = {"n_steps": 4, "batch_size": 4, "every": 2}
    play(case.game, case.data, checkpoints=FolderCheckpoints(tmp_path, run="a"), **options)
    with pytest.raises(RunError, match=r"belongs to run 'a', not to 'b'"):
        play(
            case.game,
            case.data,
            checkpoints=FolderCheckpoints(tmp_path, run="b"),
            **options,
        )
    last = tmp_path / "000000004.safetensors"
    last.write_bytes(last.read_bytes()[:-3])
    kept = FolderCheckpoints(tmp_path, run="a")
    with pytest.raises(
        RunError, match=r"is damaged.*continues from the checkpoint before it"
    ):
        play(case.game, case.data, checkpoints=kept, **options)
    last.unlink()
    run = play(case.game, case.data, checkpoints=kept, **options)
    assert same(run.final, play(case.game, case.data, **options).final)


def failing_at(case, move, value):
    """The game with a discriminator whose loss is `value` on its `move`-th evaluation."""
    loss, calls = case.game.losses["D"], iter(range(1_000))

    def broken(params, batch, noise, weights):
        found = loss(params, batch, noise, weights)
        return found * value if next(calls) == move else found

    return replace(case.game, losses={**case.game.losses, "D": broken})


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint():
    case, kept = cases.gan(simultaneous=True), {}
    with pytest.raises(
        PlayError,
        match=r"The loss of player 'D' is nan at move 4\. The last good checkpoint, of move 4, "
        "is kept.*learning rate",
    ):
        play(
            failing_at(case, 5, torch.nan),  # the first call checks the contract
            case.data, n_steps=8, batch_size=4, every=2, checkpoints=kept,
        )  # fmt: skip
    assert sorted(kept) == [0, 2, 4]
    assert all(torch.isfinite(t).all() for s in kept.values() for t in s.tensors().values())


def test_a_gradient_that_is_not_finite_never_reaches_a_checkpoint():
    case, kept = cases.ridge(), {}
    # The root is 0 with an infinite slope once the parameters are at 0.
    loss = lambda params, batch, noise, weights: (
        params["D"]["weight"].square().sum().sqrt() + 0 * (weights * batch["y"]).sum()
    )
    game = replace(case.game, losses={"D": loss})
    with pytest.raises(
        PlayError,
        match=r"The parameter 'weight' of player 'D' holds NaN .* of move 0, is kept",
    ):
        play(game, case.data, n_steps=3, batch_size=4, every=1, checkpoints=kept)
    assert sorted(kept) == [0]


@pytest.mark.parametrize(
    "options", [{"n_steps": 0}, {"since": -1}, {"since": 9}, {"n_steps": -3}]
)
def test_numbers_that_make_no_sense_are_refused(options):
    case = cases.gan()
    with pytest.raises(
        GameError, match=r"`n_steps` must be at least 1 and `since` between 0"
    ):
        play(case.game, case.data, **{"n_steps": 8, "batch_size": 4, **options})


def test_fewer_instances_than_a_batch_are_refused():
    case = cases.gan()
    with pytest.raises(DataError, match=r"has 8 instances, fewer than one batch of 64"):
        play(case.game, case.data, n_steps=8, batch_size=64)


def test_checkpoints_stay_within_their_budget():
    case = cases.gan(optimizer="adam")
    size = case.game.initial().n_bytes
    run = play(case.game, case.data, n_steps=50, batch_size=4, memory=5 * size)
    assert sorted(run.checkpoints) == [0, 13, 26, 39, 50]


def test_a_spacing_and_a_budget_are_refused_together():
    case = cases.gan()
    with pytest.raises(GameError, match=r"`every` or `memory`, not both: every=3"):
        play(case.game, case.data, n_steps=5, batch_size=4, every=3, memory="1GiB")


def test_files_that_were_just_written_are_not_read_again(tmp_path, monkeypatch):
    case = cases.gan()
    read = []
    monkeypatch.setattr(
        FolderCheckpoints, "__getitem__", lambda kept, move: read.append(move)
    )
    options = {"n_steps": 4, "batch_size": 4, "every": 2}
    run = play(case.game, case.data, checkpoints=FolderCheckpoints(tmp_path), **options)
    assert not read
    assert run.fingerprints == play(case.game, case.data, **options).fingerprints


def test_losses_are_read_when_asked_for_and_stay_a_mapping():
    case, seen = cases.gan(simultaneous=True), []
    play(
        case.game, case.data, n_steps=3, batch_size=4,
        on_step=lambda state, losses: seen.append((state.step, losses)),
    )  # fmt: skip
    assert [step for step, _ in seen] == [1, 2, 3]
    for _, losses in seen:
        assert list(losses) == ["D", "G"]
        assert len(losses) == 2
        assert all(isinstance(value, float) for value in losses.values())


def test_a_loss_that_is_not_finite_is_found_between_checkpoints():
    case, moves = cases.gan(simultaneous=True), []
    with pytest.raises(PlayError, match=r"is nan at move 9\. .* of move 0, is kept"):
        play(
            failing_at(case, 10, torch.nan),  # the first call checks the contract
            case.data, n_steps=500, batch_size=4, every=500,
            on_step=lambda state, losses: moves.append(state.step),
        )  # fmt: skip
    assert len(moves) < 100
