"""Tasks in fresh processes of this machine, one thread each."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import joblib
from joblib.externals.loky import get_reusable_executor

from counterplay.executors._executor import (
    ATTEMPTS,
    call,
    given_up,
    Result,
    result_of,
    sent,
    Task,
)


_IDLE_S = 60  # how long processes wait for more to do
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}


@dataclass(frozen=True)
class Processes:
    """A pool of fresh processes, which need no `if __name__ == "__main__"`.

    Attributes:
        size: Processes; as many as there are cores if None.
    """

    size: int | None = None

    @property
    def n_workers(self) -> int:
        """Tasks computed at once."""
        return self.size or joblib.cpu_count()

    @property
    def keeps_workers(self) -> bool:
        """Processes wait for the next task."""
        return True

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """Apply `function` to every task.

        A killed process takes the whole pool with it, so all unfinished tasks start anew.

        Yields:
            The number of a task and its result, in the order in which they finish.

        Raises:
            RunError: If processes are killed again and again, and no task finishes.
        """
        left, losses = dict(enumerate(tasks)), 0
        with sent(function) as path:
            while left:
                pool = get_reusable_executor(
                    max_workers=self.n_workers, timeout=_IDLE_S, env=_ONE_THREAD
                )
                try:
                    futures = {pool.submit(call, path, left[n]): n for n in left}
                    for future in as_completed(futures):
                        outcome, number = future.result(), futures[future]
                        del left[number]
                        losses = 0
                        yield number, result_of(outcome)
                except BrokenProcessPool as error:
                    losses += 1
                    if losses == ATTEMPTS:
                        loss = given_up(min(left), len(tasks), error)
                        raise loss from error
                except BaseException:  # nobody waits for the others any more
                    pool.shutdown(wait=False, kill_workers=True)
                    raise
