"""Who computes independent tasks: this process, others on this machine, or a cluster.

Counterfactual runs and seeds are such tasks. An executor maps a function over them and
hands out each result as soon as it is there.

- `serial`, and `vmap` for who plays runs at once, compute here.
- `processes` are fresh processes of this machine with one thread each.
- `ray` is a Ray cluster, or this machine if there is none; needs the extra `ray`.
- `slurm` is a Slurm cluster, one job per task; needs the extra `slurm`.
"""

from typing import get_args, Literal

from counterplay.errors import ConfigError
from counterplay.executors._executor import (
    Executor as Executor,
    in_order as in_order,
    within_task as within_task,
)
from counterplay.executors.processes import Processes as Processes
from counterplay.executors.ray import Ray as Ray
from counterplay.executors.serial import Serial as Serial
from counterplay.executors.slurm import Slurm as Slurm


Name = Literal["vmap", "processes", "serial", "ray", "slurm"]
HERE = ("vmap", "serial")  # the names that stay in this process
Choice = Name | Executor | None  # None: whatever is best


def by_name(name: Name, n_workers: int | None = None) -> Executor:
    """The executor called `name`.

    Args:
        name: Who computes.
        n_workers: Tasks at once; as many as there are cores if left out.

    Returns:
        The executor.

    Raises:
        ConfigError: If there is none of that name.
    """
    match name:
        case "vmap" | "serial":
            return Serial()
        case "processes":
            return Processes(n_workers)
        case "ray":
            return Ray(n_workers)
        case "slurm":
            return Slurm(n_workers=n_workers)
    raise ConfigError(
        f"`executor` must be one of {list(get_args(Name))} or an object with their method "
        f"`map`, got {name!r}."
    )


def divided(n_jobs: int, executor: Choice = None) -> tuple[Executor, Choice]:
    """Who computes several seeds, and who plays the runs within each.

    One seed at a time leaves its runs to the executor. Several at once are themselves its
    tasks, in processes unless it is a cluster, and each plays its runs where it is.

    Args:
        n_jobs: Seeds at once.
        executor: Who was asked for.

    Returns:
        The executor of seeds, and the choice of that of runs.
    """
    if n_jobs == 1:
        return Serial(), executor
    if executor is None or executor in HERE:
        return Processes(n_jobs), executor
    return by_name(executor, n_jobs) if isinstance(executor, str) else executor, None
