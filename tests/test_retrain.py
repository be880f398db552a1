"""Ground truth: counterfactual runs, by whatever executor, and none lost."""

import cases
import pytest
import torch
from torch import nn

from counterplay import _retrain, executors, games, metrics
from counterplay._bank import Bank
from counterplay._checkpoint import FolderCheckpoints
from counterplay._play import play
from counterplay._retrain import (
    _runs_per_task,
    count_of,
    counterfactual_effects,
    leave_out,
    removed,
    retrain,
    Way,
    way_of,
)
from counterplay.errors import ConfigError, DataError, TraceError
from counterplay.game import Columns


def same(ours, theirs):
    ours, theirs = ours.tensors(), theirs.tensors()
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[k], theirs[k]) for k in ours
    )


def recorded(n_steps=8, **options):
    case = cases.gan(**{"optimizer": "adam", **options})
    return case, play(case.game, case.data, n_steps=n_steps, batch_size=4)


def test_retraining_without_an_instance_is_playing_at_weight_zero():
    case, run = recorded(dropout=0.3, **cases.EXTRAS["everything"])
    weights = torch.ones(8, dtype=torch.float64)
    weights[[2, 5]] = 0.0
    expected = play(case.game, case.data, n_steps=8, batch_size=4, weights=weights)
    found = retrain(case.game, case.data, run, without=[2, 5])
    assert found.fingerprints == expected.fingerprints
    assert torch.equal(found.plan.weights, weights)
    assert same(retrain(case.game, case.data, run, weights=weights).final, expected.final)
    assert torch.equal(run.plan.weights, torch.ones(8, dtype=torch.float64))


def test_retraining_with_the_same_weights_is_the_same_run():
    case, run = recorded()
    assert retrain(case.game, case.data, run).fingerprints == run.fingerprints


def test_the_last_moves_alone_start_from_the_recorded_state():
    case, run = recorded()
    found = retrain(case.game, case.data, run, without=[0], since=5)
    assert sorted(found.checkpoints) == [5, 6, 8]
    assert same(found.checkpoints[5], run.state_at(case.game, case.data, 5))
    assert not same(found.final, run.final)


def test_an_interrupted_retraining_continues_bit_for_bit(tmp_path):
    case, run = recorded()
    kept = FolderCheckpoints(tmp_path)

    def interrupt(state, losses):
        if state.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain(case.game, case.data, run, without=[1], checkpoints=kept, on_step=interrupt)
    assert sorted(kept) == [0, 2, 4]
    found = retrain(case.game, case.data, run, without=[1], checkpoints=kept)
    assert same(found.final, retrain(case.game, case.data, run, without=[1]).final)


def test_a_run_that_was_not_recorded_from_the_start_cannot_be_retrained_from_there():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=8, batch_size=4, since=4)
    with pytest.raises(TraceError, match=r"checkpoints from move 4 on, but move 0"):
        retrain(case.game, case.data, run, without=[0])


@pytest.mark.parametrize("instances", [[8], [-1], [0, 100]])
def test_instances_that_do_not_exist_are_refused(instances):
    with pytest.raises(DataError, match=r"Instances run from 0 to 7, got"):
        removed(torch.ones(8), instances)


def test_rows_leave_out_one_group_each():
    rows = leave_out(torch.full((4,), 0.5), [[0], torch.tensor([1, 3]), []])
    assert rows.tolist() == [[0, 0.5, 0.5, 0.5], [0.5, 0, 0.5, 0], [0.5] * 4]


class Counting:
    """Plays here, and keeps when the runs departed that it really played."""

    n_workers, keeps_workers = 1, True

    def __init__(self):
        self.departures = []

    def map(self, function, tasks):
        for number, task in enumerate(tasks):
            self.departures.append(function.departures(task).tolist())
            yield number, function(task)


SETTINGS = {
    **cases.EXTRAS,
    "dropout": {"dropout": 0.4},
    "n_critic": {"n_critic": 3},
    "simultaneous": {"simultaneous": True},
    "augmented": {"augment": ("colour", "shift", "cut"), "relativistic": "average"},
    "virtual batch norm": {"virtual": True},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_many_runs_at_once_equal_single_ones(setting):
    case, run = recorded(**SETTINGS[setting])
    metric = [case.metric, cases.wave_of(case.game, seed=4)]
    rows = leave_out(run.plan.weights, [[0], [1, 2], []])
    for since in (0, 5):
        options = {"since": since, "chunk": 2}
        vmapped = counterfactual_effects(
            case.game, case.data, run, metric, rows, executor="vmap", **options
        )
        serial = counterfactual_effects(
            case.game, case.data, run, metric, rows, executor="serial", **options
        )
        torch.testing.assert_close(vmapped, serial, rtol=1e-10, atol=1e-13)
        assert serial[2].tolist() == [0.0, 0.0]
        assert (serial[:2] != 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["processes", "ray", "slurm"])
def test_other_processes_find_what_this_one_does(executor, tmp_path):
    if executor == "slurm":
        pytest.importorskip("submitit", reason="needs the extra slurm")
        executor = executors.Slurm(tmp_path, 2, cluster="local", poll_s=0.1)
    elif executor == "ray":
        pytest.importorskip("ray", reason="needs the extra ray")
    case, run = recorded(dropout=0.3, **cases.EXTRAS["everything"])
    rows = leave_out(run.plan.weights, [[0], [1, 2], [3]])
    bank = Bank(tmp_path / "bank.jsonl")
    found = [
        counterfactual_effects(
            case.game, case.data, run, [case.metric], rows, since=2, **options
        )
        for options in (
            {"executor": executor, "chunk": 2, "bank": bank},
            {"executor": "vmap", "chunk": 2},
            {"executor": "serial"},
        )
    ]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-15)
    torch.testing.assert_close(found[0], found[2], rtol=1e-10, atol=1e-13)
    assert len(bank) == 3


@pytest.mark.slow
def test_convolutions_are_played_one_by_one_in_processes():
    case, run = recorded_images()
    rows = leave_out(run.plan.weights, [[0], [1]])
    played = []
    found = [
        counterfactual_effects(
            case.game, case.data, run, [case.metric], rows,
            executor=executor, on_runs=played.append,
        )
        for executor in ("processes", None, "serial")
    ]  # fmt: skip
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[2])
    assert played == [1, 2] * 3


def recorded_images():
    """A game of 4 x 4 images with a convolution."""
    x = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    generator = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4))).double()
    discriminator = nn.Sequential(nn.Conv2d(1, 1, 4), nn.Flatten(0)).double()
    game = games.load("gan")(generator, discriminator, latent_dim=2)
    data = Columns({"x": x}, tuple("abcdef"), kind="image")
    case = cases.Case(game, data, cases.wave_of(game))
    return case, play(game, data, n_steps=4, batch_size=3)


def test_the_best_way_depends_on_networks_cores_and_place(monkeypatch):
    case, run = recorded(n_steps=2)
    images, of_images = recorded_images()
    assert way_of(case.game, run.plan, None).text == "many runs at once, executor 'vmap'"

    def way():
        return way_of(images.game, of_images.plan, None)

    monkeypatch.setattr(_retrain.joblib, "cpu_count", lambda: 2)
    assert not way().vmapped
    assert way().text == (
        "one run after the other, executor 'processes': vmapped convolutions are slow on "
        "a CPU"
    )
    monkeypatch.setattr(executors, "within_task", lambda: True)
    assert isinstance(way().executor, executors.Serial)
    assert way_of(images.game, of_images.plan, "vmap").vmapped
    assert not way_of(case.game, run.plan, "serial").vmapped
    assert way_of(case.game, run.plan, executors.Processes(2)).vmapped


def test_runs_at_once_are_divided_among_workers():
    def size(n_runs, chunk, *, vmapped=True, executor=executors.Processes(4)):  # noqa: B008
        return _runs_per_task(Way(executor, vmapped, ""), n_runs, chunk)

    assert size(200, 64) == 50
    assert size(400, 64) == 64
    assert size(3, 64) == 1
    assert size(200, 64, executor=executors.Slurm()) == 64
    assert size(200, 64, vmapped=False) == 1
    assert size(200, 64, vmapped=False, executor=executors.Slurm()) == 64


def test_the_same_weights_are_played_once_and_late_departures_together():
    case, run = recorded(n_steps=8)
    here = Counting()
    rows = leave_out(run.plan.weights, [[i] for i in (0, 5, 3, 5, 6, 1)])
    found = counterfactual_effects(
        case.game, case.data, run, [case.metric], rows, executor=here, chunk=2
    )
    assert torch.equal(found[1], found[3])
    assert [len(moves) for moves in here.departures] == [2, 2, 1]
    moves = [move for part in here.departures for move in part]
    assert moves == sorted(moves)


def test_single_runs_leave_the_number_of_threads_alone():
    case, run = recorded(n_steps=2)
    torch.set_num_threads(2)
    try:
        rows = run.plan.weights[None]
        counterfactual_effects(
            case.game, case.data, run, [case.metric], rows, executor="serial"
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"executor": "threads"}, r"`executor` must be one of .*'slurm'.*, got 'threads'"),
        ({"chunk": 0}, r"`chunk` must be at least 1, got 0"),
    ],
)
def test_runs_that_cannot_be_played_are_refused(options, problem):
    case, run = recorded(n_steps=2)
    rows = leave_out(run.plan.weights, [[0]])
    with pytest.raises(ConfigError, match=problem):
        counterfactual_effects(case.game, case.data, run, [case.metric], rows, **options)


def test_a_share_is_at_least_one_instance():
    assert [count_of(share, 8) for share in (0.01, 0.25)] == [1, 2]
    with pytest.raises(DataError, match=r"`fractions` must lie between 0 and 1, got 1.5"):
        count_of(1.5, 8)


def test_no_finished_run_is_played_twice(tmp_path):
    case, run = recorded(n_steps=3)
    rows = leave_out(run.plan.weights, [[0], [1], [2]])
    here, told = Counting(), []
    options = {"executor": here, "chunk": 2, "on_runs": told.append}
    bank = Bank(tmp_path / "bank.jsonl")
    first = counterfactual_effects(
        case.game, case.data, run, [case.metric], rows[:2], bank=bank, **options
    )
    again = Bank(tmp_path / "bank.jsonl")
    assert len(again) == 2
    both = counterfactual_effects(
        case.game, case.data, run, [case.metric], rows, bank=again, **options
    )
    assert torch.equal(both[:2], first)
    assert [len(moves) for moves in here.departures] == [2, 1]
    assert told == [2, 3]


def test_another_question_is_never_answered_from_the_bank(tmp_path):
    case, run = recorded()
    other_latents = metrics.of_samples(
        cases.wave, case.game, n=5, seed=2, higher_is_better=True
    )
    assert other_latents.name == case.metric.name
    longer = play(case.game, case.data, n_steps=9, batch_size=4)
    reseeded = play(case.game, case.data, n_steps=8, batch_size=4, seed=1)
    faster = cases.gan(optimizer="adam", lr_g=0.2)
    rerun = play(faster.game, case.data, n_steps=8, batch_size=4)
    rows = leave_out(run.plan.weights, [[0]])
    bank = {}

    def ask(run=run, metric=case.metric, rows=rows, game=case.game, **options):
        options = {"executor": "serial", **options}
        counterfactual_effects(game, case.data, run, [metric], rows, bank=bank, **options)
        return len(bank)

    assert ask() == ask() == 1
    assert ask(since=2) == 2
    assert ask(rows=leave_out(run.plan.weights, [[1]])) == 3
    assert ask(rows=rows * 0.5) == 4
    assert ask(metric=other_latents) == 5
    assert ask(executor="vmap") == 6
    assert ask(run=longer) == 7
    assert ask(run=reseeded) == 8
    assert ask(run=rerun, game=faster.game) == 9
    assert ask() == 9
