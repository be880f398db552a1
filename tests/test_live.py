"""Watching a run: who is told what, and where it goes."""

import importlib.util
import sys

import cases
import pytest

from counterplay import live
from counterplay._play import play
from counterplay.errors import MissingExtraError
from counterplay.live import Live, Pace, Progress, TensorBoard, WandB


def watched(**options):
    seen = []
    case = cases.rival()
    told = Live(case.game, seen.append, n_steps=10, batch_size=4, **options)
    run = play(case.game, case.data, n_steps=10, batch_size=4, on_step=told)
    return case, run, seen


def test_watchers_are_told_now_and_then_and_at_the_end():
    _, _, seen = watched(every=4)
    assert [now.step for now in seen] == [4, 8, 10]
    assert all(now.n_steps == 10 for now in seen)
    assert {name for now in seen for name in now.values} == {"loss_D", "loss_G"}
    assert seen[0].per_second == 0
    assert seen[1].per_second > 0


def test_metrics_are_measured_less_often_than_losses_are_read():
    case = cases.rival()
    _, run, seen = watched(every=2, metrics=[case.metric], measure_every=4)
    measured = {now.step: now.values.get(case.metric.name) for now in seen}
    assert [step for step, value in measured.items() if value is not None] == [4, 8, 10]
    assert measured[10] == case.metric.value(run.final)


def test_a_metric_without_a_value_is_left_out(monkeypatch):
    case = cases.rival()

    def none(self, state):
        raise live.MetricError("no value yet")

    monkeypatch.setattr(type(case.metric), "value", none)
    assert live.measured([case.metric], case.game.initial()) == {}


def test_the_pace_counts_the_moves_that_read(monkeypatch):
    clock = iter([0.0, 2.0, 2.0])
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))
    game = cases.rival().game
    pace = Pace(game, batch_size=8)
    assert pace.at(0) == 0
    assert pace.at(6) == game.n_reads(6) * 8 / 2
    assert pace.at(9) == 0  # no time went by


PROGRESS = Progress(3, 10, {"loss_D": 1.25, "valid_frechet_a_8": 2.0}, 512.0)


def test_tensorboard_gets_every_number(tmp_path):
    pytest.importorskip("torch.utils.tensorboard", reason="no TensorBoard")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = TensorBoard(tmp_path)
    board(PROGRESS)
    board.close()
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {*PROGRESS.values, "instances_per_second"}
    (event,) = events.Scalars("loss_D")
    assert (event.step, event.value) == (3, 1.25)


@pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None,
    reason='no Weights & Biases: `pip install "counterplay[wandb]"`',
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_weights_and_biases_keeps_a_run_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    board = WandB(tmp_path, name="a run", id="0123", settings={"play": {"seed": 1}})
    board(PROGRESS)
    board.close()
    (kept,) = tmp_path.glob("wandb/offline-run-*-0123/run-0123.wandb")
    content = kept.read_bytes()
    assert b"loss_D" in content
    assert b"valid_frechet_a_8" in content


@pytest.mark.parametrize(
    ("kind", "module"), [(TensorBoard, "torch.utils.tensorboard"), (WandB, "wandb")]
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=r'pip install "counterplay\[(tensor|wandb)'
    ):
        kind(tmp_path)
