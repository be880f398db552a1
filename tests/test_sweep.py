import cases
import pytest
import torch

from counterplay._adjoint import Unroll
from counterplay._influence import trace
from counterplay._play import play
from counterplay._sweep import SweepFile


def at_every_move(monkeypatch):
    monkeypatch.setattr(SweepFile.__init__, "__kwdefaults__", {"seconds": 0.0})


def interrupted(case, run, path, after):
    def stop(done, total):
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace(case.game, case.data, run, case.metric, on_move=stop, unfinished=path)


@pytest.mark.parametrize("after", [1, 4, 9])
def test_an_interrupted_trace_goes_on_to_the_same_bits(tmp_path, monkeypatch, after):
    at_every_move(monkeypatch)
    case = cases.combined("adam", "alternating", "everything")
    metrics = [case.metric, cases.wave_of(case.game, seed=9)]
    run = play(case.game, case.data, n_steps=10, batch_size=4)
    expected = trace(case.game, case.data, run, metrics)
    path, seen = tmp_path / "sweep", []

    def stop(done, total):
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace(case.game, case.data, run, metrics, on_move=stop, unfinished=path)
    found = trace(
        case.game, case.data, run, metrics,
        on_move=lambda done, total: seen.append(done), unfinished=path,
    )  # fmt: skip
    assert seen == list(range(after + 1, 11))
    for left, right in zip(found, expected, strict=True):
        assert torch.equal(left.gradient, right.gradient)


def test_a_finished_sweep_is_not_walked_again(tmp_path):
    case = cases.gan()
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    path, seen = tmp_path / "sweep", []
    first = trace(case.game, case.data, run, case.metric, unfinished=path)
    again = trace(
        case.game, case.data, run, case.metric, unfinished=path,
        on_move=lambda *move: seen.append(move),
    )  # fmt: skip
    assert not seen
    assert torch.equal(first.gradient, again.gradient)


def test_the_sweep_of_another_trace_is_not_continued(tmp_path, monkeypatch):
    at_every_move(monkeypatch)
    case = cases.gan()
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    other = play(case.game, case.data, n_steps=6, batch_size=4, seed=1)
    path = tmp_path / "sweep"
    for traced, metric, adjoint in [
        (other, case.metric, Unroll()),
        (run, cases.wave_of(case.game, seed=9), Unroll()),
        (run, case.metric, Unroll(last=4)),
    ]:
        interrupted(case, run, path, after=3)
        seen = []
        found = trace(
            case.game, case.data, traced, metric, adjoint=adjoint, unfinished=path,
            on_move=lambda done, total, seen=seen: seen.append(done),
        )  # fmt: skip
        expected = trace(case.game, case.data, traced, metric, adjoint=adjoint)
        assert seen[0] == 1
        assert torch.equal(found.gradient, expected.gradient)


def test_a_damaged_sweep_begins_anew(tmp_path, monkeypatch):
    at_every_move(monkeypatch)
    case = cases.gan()
    run = play(case.game, case.data, n_steps=6, batch_size=4)
    expected = trace(case.game, case.data, run, case.metric)
    path = tmp_path / "sweep"
    interrupted(case, run, path, after=3)
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        damaged = bytearray(whole)
        damaged[position] ^= 16
        path.write_bytes(damaged)
        found = trace(case.game, case.data, run, case.metric, unfinished=path)
        assert torch.equal(found.gradient, expected.gradient)
