"""Executors: every task once, whatever is killed, and errors with their causes."""

import gc
import os
import signal
import sys
import time

import cases
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from counterplay import executors
from counterplay._play import play
from counterplay.errors import ConfigError, GameError, MissingExtraError, RunError
from counterplay.executors import Processes, Ray, Serial, Slurm
from counterplay.executors._executor import call, dumps, result_of, sent


ELSEWHERE = ("processes", "ray", "slurm")
# What Ray and submitit's local executor leave to the garbage collector is theirs.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
elsewhere = [pytest.param(name, marks=pytest.mark.slow) for name in ELSEWHERE]


@pytest.fixture
def make(tmp_path):
    """Small executors by name; skips those whose package is not installed.

    Yields:
        A function from a name to its executor.
    """

    def make(name):
        if name == "ray":
            pytest.importorskip("ray", reason="needs the extra ray")
            return Ray(2)
        if name == "slurm":
            pytest.importorskip("submitit", reason="needs the extra slurm")
            return Slurm(tmp_path / "jobs", 2, cluster="local", poll_s=0.1)
        return {"processes": Processes(2), "serial": Serial()}[name]

    yield make
    gc.collect()  # of cancelled local jobs, which warn that they were still running


def killed_once(mark):
    """Squares numbers, and kills its process the first time it sees a 3."""

    def square(number):
        if number == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2, os.getpid(), torch.get_num_threads(), executors.within_task()

    return square


@pytest.mark.parametrize("name", elsewhere)
def test_a_killed_worker_is_replaced_and_nothing_is_counted_twice(name, make, tmp_path):
    found = list(make(name).map(killed_once(tmp_path / "mark"), range(6)))
    assert (tmp_path / "mark").exists()
    assert sorted(number for number, _ in found) == list(range(6))
    for number, (result, process, n_threads, within) in found:
        assert result == number**2
        assert (process != os.getpid(), n_threads, within) == (True, 1, True)


@pytest.mark.parametrize("name", ["serial", *elsewhere])
def test_an_error_of_the_task_is_raised_with_its_cause(name, make):
    def divide(number):
        return 1 / number

    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        list(make(name).map(divide, [1, 0]))
    if name != "serial":
        assert "in divide" in str(caught.value.__cause__)


@pytest.mark.slow
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_task_that_always_loses_its_process_is_given_up(name, make):
    def fall(number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    found = []
    with pytest.raises(RunError, match=r"Task 2 of 2 lost its process 3 times"):
        found.extend(make(name).map(fall, [0, 1]))


@pytest.mark.slow
def test_results_come_as_they_finish():
    def sleep(seconds):
        time.sleep(seconds)
        return seconds

    pool = Processes(2)
    list(pool.map(sleep, [0, 0]))  # processes have started
    assert [number for number, _ in pool.map(sleep, [3, 0])] == [1, 0]


def test_this_process_computes_in_order():
    assert list(Serial().map(abs, [-2, 3])) == [(0, 2), (1, 3)]
    assert not executors.within_task()


@pytest.mark.parametrize(
    ("name", "kind"),
    {
        "vmap": Serial, "serial": Serial, "processes": Processes, "ray": Ray, "slurm": Slurm
    }.items(),
)  # fmt: skip
def test_every_name_has_an_executor(name, kind):
    found = executors.by_name(name, 3)
    assert isinstance(found, kind)
    assert isinstance(found, executors.Executor)
    assert found.n_workers == (1 if kind is Serial else 3)
    assert found.keeps_workers == (name != "slurm")


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"`executor` must be one of .*, got 'threads'"):
        executors.by_name("threads")


def test_several_seeds_are_tasks_and_a_single_one_leaves_its_runs_to_the_executor():
    assert executors.divided(1, "ray") == (Serial(), "ray")
    assert executors.divided(2, "serial") == (Processes(2), "serial")
    assert executors.divided(2) == (Processes(2), None)
    assert executors.divided(2, "processes") == (Processes(2), None)
    assert executors.divided(3, "ray") == (Ray(3), None)
    own = Slurm("jobs")
    assert executors.divided(3, own) == (own, None)


@pytest.mark.parametrize("package", ["ray", "submitit"])
def test_a_missing_package_names_its_extra(package, monkeypatch):
    extra = "slurm" if package == "submitit" else "ray"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "counterplay\[{extra}\]"'):
        list(executors.by_name(extra).map(abs, [1]))


def test_without_slurm_the_way_out_is_named(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"found no Slurm here.*`sbatch`"):
        list(Slurm(tmp_path / "jobs").map(abs, [1]))


def test_what_only_this_process_has_cannot_be_sent(tmp_path):
    file = (tmp_path / "open").open("w")
    with file, pytest.raises(GameError, match=r"cannot be sent.*'vmap' or 'serial'"):
        dumps(lambda: file)


def test_a_function_is_sent_once_and_its_file_removed(tmp_path):
    with sent(lambda x: x + 1, tmp_path) as path:
        assert result_of(call(path, 2)) == 3
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


class StrangeError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_an_error_that_cannot_travel_arrives_as_text():
    def fail(task):
        raise StrangeError("this", "that")

    with pytest.raises(RunError, match=r"StrangeError: this and that"):
        result_of(call(dumps(fail), 0))


@pytest.mark.parametrize(
    "norm", [parametrizations.spectral_norm, parametrizations.weight_norm,
             parametrizations.orthogonal]
)  # fmt: skip
def test_a_parametrized_module_arrives_as_it_was(norm):
    layer = norm(nn.Linear(3, 3)).eval()
    module = nn.Sequential(layer, nn.Tanh())
    found = result_of(call(dumps(lambda task: module), 0))
    x = torch.randn(2, 3)
    assert torch.equal(found(x), module(x))
    assert list(found.state_dict()) == list(module.state_dict())
    assert type(found[0]).__name__ == type(layer).__name__
    assert isinstance(found[0], nn.Linear)


def test_a_game_with_spectral_normalisation_plays_the_same_elsewhere():
    case = cases.gan(**cases.EXTRAS["everything"])
    options = {"n_steps": 3, "batch_size": 4}
    expected = play(case.game, case.data, **options).fingerprints
    sent_game = result_of(call(dumps(lambda task: case.game), 0))
    assert play(sent_game, case.data, **options).fingerprints == expected
