"""Tasks as jobs of a Slurm cluster."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterplay.errors import ConfigError
from counterplay.executors._executor import (
    ATTEMPTS,
    call,
    given_up,
    optional,
    Result,
    result_of,
    sent,
    Task,
)


@dataclass(frozen=True)
class Slurm:
    """One job of one core per task, through submitit.

    Partition, account and the like are best given as sbatch reads them, in the environment:
    `SBATCH_PARTITION`, `SBATCH_ACCOUNT`, `SBATCH_TIMELIMIT`.

    Attributes:
        folder: Where jobs are written and logged; all machines of the cluster must see it.
        n_workers: Jobs at once; None leaves that to the cluster.
        parameters: More for submitit's `update_parameters`, such as `timeout_min`.
        cluster: `"slurm"`, or `"local"` to try it without a cluster.
        poll_s: Seconds between two looks at the jobs.
    """

    folder: Path | str = "slurm"
    n_workers: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"
    poll_s: float = 2.0

    @property
    def keeps_workers(self) -> bool:
        """A job ends with its task."""
        return False

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """Apply `function` to every task.

        Yields:
            The number of a task and its result, in the order in which they finish.

        Raises:
            RunError: If a job is lost again and again.
        """
        executor = self._executor()
        waiting = [(number, task, 1) for number, task in enumerate(tasks)]
        running: dict[Any, tuple[int, Any, int]] = {}
        with sent(function, self.folder) as path:
            try:
                while waiting or running:
                    while waiting and len(running) < (self.n_workers or len(tasks)):
                        number, task, attempt = waiting.pop(0)
                        job = executor.submit(call, path, task)
                        running[job] = number, task, attempt
                    for job in [job for job in running if job.done()]:
                        number, task, attempt = running.pop(job)
                        # Errors of the task itself are part of the outcome.
                        lost = job.exception()
                        if lost is None:
                            yield number, result_of(job.result())
                        elif attempt == ATTEMPTS:
                            loss = given_up(number, len(tasks), lost)
                            raise loss from lost
                        else:
                            waiting.append((number, task, attempt + 1))
                    time.sleep(self.poll_s if running else 0)
            finally:
                for job in running:
                    job.cancel(check=False)

    def _executor(self) -> Any:
        """Submitit's executor.

        Raises:
            ConfigError: If there is no Slurm here.
        """
        submitit = optional("submitit", extra="slurm")
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        try:
            executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster)
        except RuntimeError as error:
            raise ConfigError(
                f"Executor 'slurm' found no Slurm here: {error} Call it where `sbatch` "
                "works, or use executor 'processes'."
            ) from error
        limits = {"timeout_min": 24 * 60, "cpus_per_task": 1, "name": "counterplay"}
        executor.update_parameters(**{**limits, **self.parameters})
        return executor
