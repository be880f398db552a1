"""Tasks on a Ray cluster, one core each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from counterplay.executors._executor import (
    ATTEMPTS,
    call,
    dumps,
    given_up,
    optional,
    Result,
    result_of,
    Task,
)


@dataclass(frozen=True)
class Ray:
    """The cluster at `RAY_ADDRESS`, or one of this machine's cores if that is not set.

    Every machine of the cluster needs Counterplay and the user's own modules.

    Attributes:
        size: Tasks at once; as many as the cluster has cores if None.
    """

    size: int | None = None

    @property
    def n_workers(self) -> int | None:
        """Tasks computed at once."""
        return self.size

    @property
    def keeps_workers(self) -> bool:
        """Ray's processes wait for the next task."""
        return True

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """Apply `function` to every task.

        Yields:
            The number of a task and its result, in the order in which they finish.

        Raises:
            RunError: If a task loses its process again and again.
        """
        ray = optional("ray", extra="ray")
        own = not ray.is_initialized()
        if own:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="error")
        try:
            shared = ray.put(dumps(function))
            compute = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(call)
            left, running = list(enumerate(tasks)), {}
            while left or running:
                while left and len(running) < (self.size or len(tasks)):
                    number, task = left.pop(0)
                    running[compute.remote(shared, task)] = number
                (done,), _ = ray.wait(list(running), num_returns=1)
                number = running.pop(done)
                try:
                    outcome = ray.get(done)
                except ray.exceptions.RayError as error:
                    loss = given_up(number, len(tasks), error)
                    raise loss from error
                yield number, result_of(outcome)
        finally:
            if own:
                ray.shutdown()
