"""What every executor promises, and what those that compute elsewhere have in common."""

import functools
import importlib
import pickle
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable, TypeVar

import cloudpickle
import torch
from torch import nn
from torch.nn.utils import parametrize

from counterplay.errors import GameError, MissingExtraError, RunError


Task = TypeVar("Task")
Result = TypeVar("Result")
ATTEMPTS = 3  # how often a task may lose the process that computes it
_within: ContextVar[bool] = ContextVar("within", default=False)
Outcome = tuple[Any, Exception | None, str]  # result, or error and its traceback


@runtime_checkable
class Executor(Protocol):
    """Maps a function over tasks that do not depend on each other.

    A task whose process is killed is computed again, and given up when that happens
    `ATTEMPTS` times; an error that the function itself raises is raised at once, with the
    traceback of where it came from as its cause. Nothing is handed out twice.
    """

    @property
    def n_workers(self) -> int | None:
        """Tasks computed at once; None if only the cluster knows."""
        ...

    @property
    def keeps_workers(self) -> bool:
        """Whether a process computes several tasks, and prepares what they share once."""
        ...

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """Apply `function` to every task.

        Yields:
            The number of a task and its result, in the order in which they finish.
        """
        ...


def in_order(
    found: Iterable[tuple[int, Result]],
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """What an executor's `map` hands out, in the order of the tasks.

    Args:
        found: Numbers and results, in the order in which tasks finish.
        on_result: Called with each result when it is there.

    Returns:
        The results.
    """
    by_number = {}
    for number, result in found:
        by_number[number] = result
        if on_result is not None:
            on_result(result)
    return [by_number[number] for number in sorted(by_number)]


class RemoteError(Exception):
    """The traceback of another process, as the cause of an error raised again here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@contextmanager
def sent(function: Callable, folder: Path | str | None = None) -> Iterator[str]:
    """Write a function to a file of its own, once for all tasks; `call` reads it.

    Yields:
        The path of the file, which is removed at the end.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="fleet-") as where:
        path = Path(where).resolve() / "function.pickle"
        path.write_bytes(dumps(function))
        yield str(path)


def dumps(function: Callable) -> bytes:
    """A function as bytes, with the closures and networks it refers to.

    Raises:
        GameError: If it refers to something that only this process has.
    """
    file = BytesIO()
    try:
        _Pickler(file).dump(function)
    except Exception as error:  # whatever an object's own methods raise
        raise GameError(
            f"This game cannot be sent to other processes: something in it cannot be "
            f"pickled ({error}). Use executor 'vmap' or 'serial'."
        ) from error
    return pickle.dumps((sys.path, file.getvalue()))


def call(function: str | bytes, task: Any) -> Outcome:
    """Compute a task with a function that another process has pickled, in one thread."""
    torch.set_num_threads(1)
    token = _within.set(True)
    try:
        return _loaded(function)(task), None, ""
    except Exception as error:
        return None, _portable(error), traceback.format_exc()
    finally:
        _within.reset(token)


def result_of(outcome: Outcome) -> Any:
    """The result of a task, or its error with the other process's traceback as cause."""
    result, error, text = outcome
    if error is not None:
        raise error from RemoteError(text)
    return result


def given_up(number: int, n_tasks: int, error: BaseException) -> RunError:
    """The error of a task that lost its process too often."""
    cause = str(error).partition("\n")[0]
    return RunError(
        f"Task {number + 1} of {n_tasks} lost its process {ATTEMPTS} times before it was "
        f"done ({cause}). Usual causes: too little memory, or a time limit. What has "
        "finished is kept; let fewer run at once, with fewer workers or a smaller `chunk`."
    )


def optional(package: str, *, extra: str) -> Any:
    """A package that a user may lack.

    Raises:
        MissingExtraError: If it cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"Executor {extra!r} needs the package {package}, which cannot be imported: "
            f'{error}. Install it with `pip install "counterplay[{extra}]"`, or use '
            "executor 'processes'."
        ) from error


def within_task() -> bool:
    """Whether this process computes a task for another one."""
    return _within.get()


@functools.lru_cache(maxsize=2)  # of a seed and of the runs within it
def _loaded(function: str | bytes) -> Callable:
    content = function if isinstance(function, bytes) else Path(function).read_bytes()
    places, pickled = pickle.loads(content)
    sys.path += [place for place in places if place not in sys.path]  # the user's modules
    return pickle.loads(pickled)


def _portable(error: Exception) -> Exception:
    """The error itself if it survives the way home, else its text."""
    try:
        pickle.loads(cloudpickle.dumps(error))
    except Exception:
        return RunError(f"{type(error).__name__}: {error}")
    return error


class _Pickler(cloudpickle.Pickler):
    """Sends closures by value, and parametrized modules, which PyTorch itself refuses."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, nn.Module) and parametrize.is_parametrized(obj):
            kind = parametrize.type_before_parametrizations(obj)
            return _parametrized, (kind, vars(obj))
        return super().reducer_override(obj)


def _parametrized(kind: type[nn.Module], state: dict[str, Any]) -> nn.Module:
    """A module as it was, down to the identity of its parts.

    Stand-ins are parametrized so that the class gets its properties, and give way to the
    parametrizations that were sent.
    """
    module = kind.__new__(kind)
    modules = state["_modules"]
    sent = modules.pop("parametrizations")
    module.__dict__.update(state)
    for name in sent:
        module.register_parameter(name, nn.Parameter(torch.zeros(())))
        parametrize.register_parametrization(module, name, nn.Identity(), unsafe=True)
    modules["parametrizations"] = sent
    return module
