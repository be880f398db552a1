"""Tasks one after the other, in this process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from counterplay.executors._executor import Result, Task


@dataclass(frozen=True)
class Serial:
    """This process, in as many threads as it has."""

    @property
    def n_workers(self) -> int:
        """One task at a time."""
        return 1

    @property
    def keeps_workers(self) -> bool:
        """The same process for all."""
        return True

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """Apply `function` to every task.

        Yields:
            The number of a task and its result, in order.
        """
        for number, task in enumerate(tasks):
            yield number, function(task)
