"""What a method is given and what it hands back; runs in every environment.

Nothing but the standard library, NumPy and PyTorch is imported here.
"""

import copy
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn, Tensor


Params = dict[str, Tensor]
WARMING_MOVES = 4
LONGEST_S = 600  # of CPU, for one method
LIMIT = 8 << 30  # bytes of address space; explicit Hessians would take the machine
WARM_BELOW_S = 20.0  # CPU of a first pass; shorter ones are repeated, warmed up


@dataclass(frozen=True)
class Problem:
    """The discriminator as a classifier of instances and samples.

    Attributes:
        module: From rows to one logit each.
        x: Instances, then as many samples of the final generator.
        y: 1 for instances, 0 for samples.
        n: How many rows are instances; they come first, in the order of the data.
        test_x: Held-out instances and other samples.
        test_y: Their labels.
        checkpoints: Parameters along the traced moves, the final ones last.
        rates: Learning rate at each checkpoint.
        joint: What the route with the metric as target needs; None without a generator.
    """

    module: nn.Module
    x: Tensor
    y: Tensor
    n: int
    test_x: Tensor
    test_y: Tensor
    checkpoints: list[Params]
    rates: list[float]
    joint: "Joint | None" = None

    @property
    def final(self) -> nn.Module:
        """The classifier at the end of the run."""
        self.module.load_state_dict(self.checkpoints[-1])
        return self.module.eval()

    @property
    def instances(self) -> tuple[Tensor, Tensor]:
        """The rows that are scored, without the samples."""
        return self.x[: self.n], self.y[: self.n]

    def harm(self, agreement: Tensor) -> Tensor:
        """Scores from agreement of instances with test rows, `(n, rows of test)`.

        Agreement is positive where an instance lowers the loss of the test row, so that
        removing it does harm.
        """
        return -agreement[: self.n].sum(1)


@dataclass(frozen=True)
class Joint:
    """Generator and discriminator as one module, with the gradient of the metric.

    Attributes:
        generator: From latents to samples.
        params: Its parameters at the end; the averaged ones if the metric reads those.
        z: One latent per instance.
        badness: Derivative of the metric by `params`, turned so that lower is better.
    """

    generator: nn.Module
    params: Params
    z: Tensor
    badness: Params


def answer(
    methods: Mapping[str, Callable[[Any], Tensor]],
    load: Callable[[Path], Any] = lambda folder: torch.load(
        folder / "problem.pt", weights_only=False
    ),
) -> None:
    """Run the method named on the command line and write its scores and their cost.

    Arguments of the command line: folder of the game, name of the method, file to write.
    Scores are harm: positive where removal is predicted to help. Imports and loading are
    not part of the cost. A short method runs twice and the second, warm pass counts.
    """
    folder, name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_S, LONGEST_S))
    given = load(folder)
    resting = peak_mib()
    scores, seconds = timed(lambda: methods[name](given))
    peak = peak_mib()
    if seconds < WARM_BELOW_S:
        scores, seconds = timed(lambda: methods[name](given))
    harm = scores.detach().double().numpy()
    np.savez(out, harm=harm, cpu=seconds, peak=peak, added=peak - resting)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` returns, and its CPU seconds."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def peak_mib() -> float:
    """Largest resident memory of this process so far.

    From Linux's own account: `ru_maxrss` of a child begins at what its parent had.

    Raises:
        OSError: On another system.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("There is no VmHWM in /proc/self/status; memory is measured on Linux.")


class Tracing(Protocol):
    """One side of `magic.py`: train on what is given, then trace the held-out loss."""

    def __init__(self, given: dict[str, Any], n_steps: int): ...

    def train(self) -> Tensor:
        """The final parameters, one flat tensor."""
        ...

    def trace(self) -> Tensor:
        """The derivative of the held-out loss by the weight of every instance."""
        ...


def write_tracing(case: Path, out: Path, side: type[Tracing]) -> None:
    """Train and trace, after a few moves that load what is loaded late; write the cost."""
    torch.set_num_threads(1)
    given = torch.load(case, weights_only=False)
    warming = side(copy.deepcopy(given), WARMING_MOVES)
    warming.train()
    warming.trace()
    resting = peak_mib()
    measured = side(given, len(given["order"]))
    final, training = timed(measured.train)
    gradient, tracing = timed(measured.trace)
    np.savez(
        out,
        final=final.numpy(),
        gradient=gradient.numpy(),
        training=training,
        tracing=tracing,
        peak=peak_mib(),
        added=peak_mib() - resting,
    )
