"""Ground truth: counterfactual runs, by whatever executor, and none lost."""

import errno

import cases
import pytest
import torch

from counterplay import _retrain, metrics
from counterplay._checkpoint import FolderCheckpoints
from counterplay._play import play
from counterplay._retrain import (
    Bank,
    count_of,
    counterfactual_effects,
    final_states,
    leave_out,
    removed,
    retrain,
)
from counterplay.errors import ConfigError, DataError, GameError, RunError, TraceError


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


SETTINGS = {
    **cases.EXTRAS,
    "dropout": {"dropout": 0.4},
    "n_critic": {"n_critic": 3},
    "simultaneous": {"simultaneous": True},
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
def test_processes_equal_single_runs():
    case, run = recorded(
        ema_halflife=2.0, gradient_penalty=1.0, batch_norm=True, dropout=0.3
    )
    rows = leave_out(run.plan.weights, [[0], [1, 2]])
    found = [
        counterfactual_effects(
            case.game, case.data, run, [case.metric], rows, executor=executor, since=2
        )
        for executor in ("processes", "serial")
    ]
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-15)


def test_a_game_that_cannot_be_sent_to_processes_says_so():
    case, run = recorded(spectral=True)
    with pytest.raises(GameError, match=r"such as a network with spectral norm.*'vmap'"):
        counterfactual_effects(
            case.game, case.data, run, [case.metric], run.plan.weights[None],
            executor="processes",
        )  # fmt: skip


def test_the_vmapped_states_are_those_of_the_single_runs():
    case, run = recorded(**cases.EXTRAS["everything"])
    rows = leave_out(run.plan.weights, [[], [3]])
    unchanged, without = final_states(case.game, case.data, run, rows)
    single = retrain(case.game, case.data, run, without=[3]).final
    for ours, theirs in [(unchanged, run.final), (without, single)]:
        assert ours.step == theirs.step
        for name, tensor in theirs.tensors().items():
            torch.testing.assert_close(ours.tensors()[name], tensor, rtol=1e-10, atol=1e-13)


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


def counting(monkeypatch):
    """How many runs were really played."""
    played = []

    def play_serially(game, data, trajectory, metrics, rows, since):
        played.append(len(rows) - 1)  # one is the unchanged run
        return _retrain._play_serially(game, data, trajectory, metrics, rows, since)

    monkeypatch.setitem(_retrain._PLAYERS, "serial", play_serially)
    return played


@pytest.mark.parametrize("options", [{"executor": "threads"}, {"chunk": 0}])
def test_runs_that_cannot_be_played_are_refused(options):
    case, run = recorded(n_steps=2)
    rows = leave_out(run.plan.weights, [[0]])
    with pytest.raises(
        ConfigError, match=r"`executor` must be one of .* `chunk` at least 1"
    ):
        counterfactual_effects(case.game, case.data, run, [case.metric], rows, **options)


def test_a_share_is_at_least_one_instance():
    assert [count_of(share, 8) for share in (0.01, 0.25)] == [1, 2]
    with pytest.raises(DataError, match=r"`fractions` must lie between 0 and 1, got 1.5"):
        count_of(1.5, 8)


def test_no_finished_run_is_played_twice(tmp_path, monkeypatch):
    case, run = recorded(n_steps=3)
    rows = leave_out(run.plan.weights, [[0], [1], [2]])
    played, told = counting(monkeypatch), []
    options = {"executor": "serial", "chunk": 2, "on_runs": told.append}
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
    assert played == [2, 1]
    assert told == [2, 3]


def test_a_torn_last_line_costs_one_run_and_no_more(tmp_path):
    path = tmp_path / "bank.jsonl"
    bank = Bank(path)
    bank["a"], bank["b"] = [1.0, 0.1], [2.0]
    path.write_bytes(path.read_bytes()[:-4])
    bank = Bank(path)
    assert dict(bank) == {"a": [1.0, 0.1]}
    bank["c"] = [3.0]
    bank["b"] = [4.0]
    assert dict(Bank(path)) == {"a": [1.0, 0.1], "b": [4.0], "c": [3.0]}


def test_a_full_disk_says_what_is_kept(tmp_path, monkeypatch):
    bank = Bank(tmp_path / "bank.jsonl")
    bank["a"] = [1.0]

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_retrain.os, "fsync", full)
    with pytest.raises(
        RunError, match=r"No space left on device. Finished retrainings before"
    ):
        bank["b"] = [2.0]
    assert Bank(tmp_path / "bank.jsonl")["a"] == [1.0]


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
