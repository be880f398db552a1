"""How far a trace has come, in memory and on disk."""

import hashlib
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from counterplay._checkpoint import add_tensors
from counterplay._tape import Tape
from counterplay._tensor_files import read_tensors, write_tensors
from counterplay._trajectory import Trajectory
from counterplay.ranks import ALONE, Ranks
from counterplay.typing import Tensors


@dataclass
class Sweep:
    """A trace on its way back.

    Attributes:
        move: The moves from this one on are done.
        cotangents: Per metric, its derivative by the state before `move`.
        gradients: What has fallen out along the weights so far, by stretch of the run,
            `(n_metrics, n_stretches, n)`.
        stretches: The first move of each stretch, and the end of the last.
    """

    move: int
    cotangents: list[Tensors]
    gradients: Tensor
    stretches: Sequence[int]

    def take(self, tape: Tape, *, carried: bool) -> None:
        """Go back by one move; if not `carried`, every move meets the first cotangents."""
        pulled, by_weight = tape.pull(self.cotangents, carried=carried)
        self.move = tape.before.step
        stretch = bisect_right(self.stretches, self.move) - 1
        self.gradients[:, stretch].index_add_(1, tape.index, by_weight)
        if carried:
            self.cotangents = pulled


class SweepFile:
    """A file that an interrupted trace is continued from."""

    def __init__(self, path: Path | str, *, seconds: float = 30.0, ranks: Ranks = ALONE):
        """Name the file; nothing is read or written yet.

        Args:
            path: Where it is.
            seconds: Time between writes.
            ranks: Who shares the trace; the first of them writes.
        """
        self.path, self.seconds, self.ranks = Path(path), seconds, ranks
        self._identity, self._written = "", time.monotonic()

    def open(self, identity: str, stretches: Sequence[int]) -> Sweep | None:
        """The sweep of the file if it is of this trace and whole, else None."""
        self._identity = identity
        self.ranks.agree("The trace to continue", identity)  # and nobody writes any more
        found = self._read(stretches)
        self.ranks.agree("The unfinished trace", str(found and found.move))
        return found

    def _read(self, stretches: Sequence[int]) -> Sweep | None:
        try:
            _, facts, tensors = read_tensors(self.path)
            if facts["identity"] != self._identity or facts["digest"] != _digest(tensors):
                return None
            gradients = tensors.pop("gradients")
            cotangents: list[Tensors] = [{} for _ in gradients]
            for flat, tensor in tensors.items():
                number, name = flat.split("/", 1)
                cotangents[int(number)][name] = tensor
            return Sweep(facts["move"], cotangents, gradients, stretches)
        except (KeyError, TypeError, ValueError):
            return None  # the trace begins anew

    def save(self, sweep: Sweep, *, now: bool = False) -> None:
        """Write the sweep if it is time, or `now`."""
        if not self.ranks.is_first:
            return
        if not now and time.monotonic() - self._written < self.seconds:
            return
        tensors = {"gradients": sweep.gradients} | {
            f"{number}/{name}": tensor
            for number, cotangent in enumerate(sweep.cotangents)
            for name, tensor in cotangent.items()
        }
        facts = {
            "identity": self._identity,
            "move": sweep.move,
            "digest": _digest(tensors),
        }
        write_tensors(self.path, "sweep", facts, tensors)
        self._written = time.monotonic()


def begin(
    cotangents: Sequence[Tensors],
    trajectory: Trajectory,
    adjoint: str,
    file: SweepFile | None,
    stretches: Sequence[int],
) -> Sweep:
    """A sweep at the end of the run, or where an interrupted one of the same trace was."""
    if file is not None:
        digest = hashlib.blake2b(digest_size=12)
        digest.update(trajectory.plan.fingerprint.encode())
        digest.update(trajectory.fingerprints[trajectory.n_steps].encode())
        digest.update(f"{adjoint}/{trajectory.n_steps}/{list(stretches)}".encode())
        for cotangent in cotangents:
            add_tensors(digest, cotangent)
        found = file.open(digest.hexdigest(), stretches)
        if found is not None:
            device = next(iter(cotangents[0].values())).device
            found.cotangents = [
                {name: tensor.to(device) for name, tensor in cotangent.items()}
                for cotangent in found.cotangents
            ]
            return found
    shape = (len(cotangents), len(stretches) - 1, trajectory.plan.n_instances)
    gradients = torch.zeros(shape, dtype=torch.float64)
    return Sweep(trajectory.n_steps, list(cotangents), gradients, stretches)


def moves(
    sweep: Sweep, tapes: Iterator[Tape], file: SweepFile | None, *, carried: bool
) -> Iterator[int]:
    """Take tape after tape, and keep the sweep now and then.

    Yields:
        The move that is done.
    """
    for tape in tapes:
        sweep.take(tape, carried=carried)
        if file is not None:
            file.save(sweep)
        yield sweep.move
    if file is not None:
        file.save(sweep, now=True)


def _digest(tensors: Tensors) -> str:
    digest = hashlib.blake2b(digest_size=12)
    add_tensors(digest, tensors)
    return digest.hexdigest()
