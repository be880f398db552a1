"""Groups of real processes that share runs, and what they find; started once per size."""

import functools
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import cases
import torch
from torch import nn, Tensor

from counterplay import ForwardMode, games, Implicit, Mollified, play, trace, Unroll
from counterplay._adjoint import AbstractAdjoint
from counterplay._checkpoint import FolderCheckpoints
from counterplay._collectives import collect, spread
from counterplay._sweep import SweepFile
from counterplay.errors import CounterplayError, GameError
from counterplay.game import State
from counterplay.ranks import ALONE, Ranks


RUNS: Mapping[str, Mapping[str, Any]] = {
    "alternating": {},
    "simultaneous": {"simultaneous": True},
    "n_critic": {"n_critic": 3},
    "spectral norm": {"spectral": True},
    "r1 and r2": {"r1": 1.0, "r2": 1.0},
    "adam, moving average": {"optimizer": "adam", "ema_halflife": 2.0},
    "batch norm": {"batch_norm": True},
    "everything": {
        **cases.EXTRAS["everything"],
        "n_critic": 2,
        "optimizer": "adam",
        "loss": "wasserstein",
    },
}
ADJOINTS = {
    "the last moves": Unroll(last=5),
    "little memory": Unroll(memory=20_000),
    "implicit": Implicit(depth=20, damping=0.1),
}
MOVES, BATCH = 12, 4
Found = dict[str, Any]


@functools.cache
def shared(n: int) -> list[Found]:
    """What each of `n` processes found."""
    port, pool = free_port(), ProcessPoolExecutor(n, mp_context=get_context("spawn"))
    with TemporaryDirectory() as folder, pool:
        jobs = [
            pool.submit(joined, rank, n, port, everything, Path(folder))
            for rank in range(n)
        ]
        return [job.result(timeout=300) for job in jobs]


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def joined(
    rank: int,
    n: int,
    port: int,
    work: Callable[..., Any],
    *options: Any,
    timeout_s: float = 120.0,
) -> Any:
    """Do as `torchrun` does, then work."""
    torch.set_num_threads(1)
    names = {"RANK": rank, "WORLD_SIZE": n, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    with Ranks.joined(timeout_s=timeout_s) as ranks:
        return work(ranks, *options)


def everything(ranks: Ranks, folder: Path) -> Found:
    """All that the tests compare."""
    found: Found = {name: run(name, ranks) for name in RUNS}
    found["adjoints"] = adjoints(ranks)
    found["derivatives"] = derivatives(ranks)
    found["told"] = ranks.told(lambda: f"by rank {ranks.rank}")
    found["resumed"] = resumed(ranks, folder)
    found["refused"] = {name: refusal(ask, ranks) for name, ask in REFUSED.items()}
    return found


def run(name: str, ranks: Ranks = ALONE) -> Found:
    """The final state of a run and its influence on two metrics."""
    case = cases.gan(**RUNS[name])
    played = play(
        case.game, case.data, n_steps=MOVES, batch_size=BATCH, every=5, ranks=ranks
    )
    metrics = [case.metric, cases.wave_of(case.game, seed=7)]
    influences = trace(case.game, case.data, played, metrics, ranks=ranks)
    return {
        "state": {name: tensor.numpy() for name, tensor in played.final.tensors().items()},
        "influence": [one.gradient.numpy() for one in influences],
    }


def adjoints(ranks: Ranks = ALONE) -> Found:
    """The influence by other adjoints."""
    case = cases.lqgan(decay=2.0, lr_g=0.1, simultaneous=True)
    played = play(case.game, case.data, n_steps=30, batch_size=BATCH, ranks=ranks)
    return {
        name: trace(
            case.game, case.data, played, case.metric, adjoint=way, ranks=ranks
        ).gradient.numpy()
        for name, way in ADJOINTS.items()
    }


def derivatives(ranks: Ranks) -> list[float]:
    """First, second and third derivative of a sum over ranks of `sin((rank + 1) x)`."""
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    (local,) = spread([x])
    (value,) = collect([torch.sin((ranks.rank + 1) * local)])
    found = []
    for _ in range(3):
        (value,) = torch.autograd.grad(value, x, create_graph=True)
        found.append(value.item())
    return found


class Watched(FolderCheckpoints):
    """Checkpoints that count their writes."""

    n_writes = 0

    def __setitem__(self, move, state):
        super().__setitem__(move, state)
        self.n_writes += 1


def resumed(ranks: Ranks, folder: Path) -> Found:
    """A run continued from files, what each rank wrote, and a trace that was interrupted."""
    case, kept = cases.gan(**RUNS["everything"]), Watched(folder / "kept")
    options = {"batch_size": BATCH, "every": 5, "ranks": ranks}
    play(case.game, case.data, n_steps=7, checkpoints=kept, **options)
    played = play(case.game, case.data, n_steps=MOVES, checkpoints=kept, **options)

    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise InterruptedError

    done = []
    with mock.patch("counterplay._influence.SweepFile", partial(SweepFile, seconds=0.0)):
        of_run = partial(trace, case.game, case.data, played, case.metric, ranks=ranks)
        with suppress(InterruptedError):
            of_run(on_move=interrupt, unfinished=folder / "sweep")
        again = of_run(
            on_move=lambda move, _: done.append(move), unfinished=folder / "sweep"
        )
    return {
        "writes": kept.n_writes,
        "moves": sorted(kept),
        "done": done,
        "influence": again.gradient.numpy(),
    }


def refusal(ask: Callable[[Ranks], Any], ranks: Ranks) -> str:
    """The error that something ends with."""
    try:
        ask(ranks)
    except CounterplayError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def play_on(ranks: Ranks, case: cases.Case, batch_size: int = BATCH) -> Any:
    return play(case.game, case.data, n_steps=2, batch_size=batch_size, ranks=ranks)


def squared_mean(ranks: Ranks) -> None:
    """Play a game whose loss is no mean over samples."""
    case = cases.gan()
    loss = case.game.losses["G"]
    losses = {**case.game.losses, "G": lambda *inputs: loss(*inputs).square()}
    play_on(ranks, replace(case, game=replace(case.game, losses=losses)))


class Centred(nn.Module):
    """A layer of a generator that mixes its samples."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def centred(ranks: Ranks) -> None:
    """Play a game with the layer above."""
    case, (generator, discriminator) = cases.gan(), cases.networks()
    game = games.load("gan")(
        nn.Sequential(generator, Centred()), discriminator, latent_dim=2
    )
    play_on(ranks, replace(case, game=game))


def coupled(ranks: Ranks) -> None:
    case = cases.gan()
    play_on(ranks, replace(case, game=replace(case.game, couples_instances=True)))


def recorded_alone(ranks: Ranks) -> None:
    case = cases.gan()
    trace(case.game, case.data, play_on(ALONE, case), case.metric, ranks=ranks)


def traced_by(adjoint: AbstractAdjoint, ranks: Ranks) -> None:
    case = cases.gan()
    played = play_on(ranks, case)
    trace(case.game, case.data, played, case.metric, adjoint=adjoint, ranks=ranks)


def failed() -> str:
    raise GameError("none")


REFUSED: Mapping[str, Callable[[Ranks], Any]] = {
    "unequal parts": lambda ranks: play_on(ranks, cases.gan(), ranks.size + 1),
    "dropout": lambda ranks: play_on(ranks, cases.gan(dropout=0.5)),
    "coupled": coupled,
    "no mean": squared_mean,
    "mixing layer": centred,
    "recorded alone": recorded_alone,
    "forward mode": functools.partial(traced_by, ForwardMode(instances=(0,))),
    "kinks": functools.partial(traced_by, Mollified()),
    "first fails": lambda ranks: ranks.told(failed),
    "other state": lambda ranks: ranks.agree("The state at move 3", f"{ranks.rank}"),
}


def abandoned(how: str, folder: Path) -> str:
    """What the first of two ranks says when the other is killed, or hangs, during a run."""
    port, start = free_port(), get_context("spawn").Process
    processes = [start(target=left, args=(rank, port, how, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    processes[0].join(timeout=120)
    processes[1].kill()
    processes[1].join()
    return (folder / "said").read_text()


def left(rank: int, port: int, how: str, folder: Path) -> None:
    """Play until the second rank leaves."""

    def leave(state: State, losses: dict[str, float]) -> None:
        if state.step == 3 and rank == 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    said = joined(rank, 2, port, refusal_of_play, leave, timeout_s=3.0)
    (folder / "said").write_text(said)


def refusal_of_play(ranks: Ranks, leave: Callable[..., None]) -> str:
    case = cases.gan()
    return refusal(
        lambda ranks: play(
            case.game, case.data, n_steps=50, batch_size=BATCH, ranks=ranks, on_step=leave
        ),
        ranks,
    )
