"""How much memory does a trace need, and what does less of it cost?

Plays and traces runs of growing length, each in a process whose address space is limited,
within a given budget for states and graphs. Prints, per run: moves played again for each
move traced (the law of `counterplay._memory` says how many are needed), what the process
took at its peak, beside one of a single move, and the CPU time of the trace in units of
that of playing.

Run: python benchmarks/trace_memory.py [--game 2d|dcgan] [--moves 100 1000 ...]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time

import torch

from counterplay import _trajectory, games, metrics, nets, play, Recipe, trace, Unroll
from counterplay._checkpoint import FolderCheckpoints
from counterplay._trajectory import recorded_move
from counterplay.game import Columns


def two_d():
    """The paper's networks on its 2-D normal."""
    recipe = Recipe.from_tables(
        {
            "data": {"name": "2d-normal"},
            "nets": {"name": "mlp", "width": 32, "width_d": 64, "activation": "relu"},
            "game": {"name": "gan", "latent_dim": 10, "simultaneous": True},
            "play": {"n_steps": 1, "batch_size": 100},
            "metric": {"names": ["average_log_likelihood"], "n": 1_000},
        }
    )
    game = recipe.make_game()
    return game, recipe.splits.train, recipe.targets(game)[0], 100


def dcgan():
    """The default DCGAN in the size of MNIST."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand(10_000, 1, 28, 28, generator=random) * 2 - 1
    data = Columns({"x": x}, tuple(map(str, range(len(x)))), kind="image")
    game = games.load("gan")(*nets.pair("dcgan", (1, 28, 28), latent_dim=32, width=32))
    metric = metrics.of_samples(
        lambda fake: fake.square().mean(), game, n=256, higher_is_better=False
    )
    return game, data, metric, 64


GAMES = {"2d": two_d, "dcgan": dcgan}


def measure(name: str, n_steps: int, memory: str, limit: int) -> dict[str, float]:
    """Play and trace in this process, which may not grow beyond `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    torch.set_num_threads(1)
    game, data, metric, batch_size = GAMES[name]()
    n_replayed = 0

    def counted(*inputs, **options):
        nonlocal n_replayed
        n_replayed += 1
        return recorded_move(*inputs, **options)

    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        run = play(
            game, data, n_steps=n_steps, batch_size=batch_size,
            checkpoints=FolderCheckpoints(folder),
        )  # fmt: skip
        played = time.process_time()
        setattr(_trajectory, "recorded_move", counted)  # noqa: B010 (counts replays)
        trace(game, data, run, metric, adjoint=Unroll(memory=memory))
        traced = time.process_time()
    return {
        "state": game.initial().n_bytes / 2**20,
        "again": n_replayed / n_steps,
        "cpu": (traced - played) / (played - start),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_a_process(*inputs: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", *map(str, inputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", choices=GAMES, default="2d")
    parser.add_argument(
        "--moves", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000]
    )
    parser.add_argument("--memory", nargs="+", default=["4MiB", "32MiB", "256MiB"])
    parser.add_argument("--limit", type=int, default=2**30, help="bytes of address space")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, n_steps, memory, limit = options.measure
        print(json.dumps(measure(name, int(n_steps), memory, int(limit))))
        return
    base = in_a_process(options.game, 2, "1GiB", options.limit)
    print(f"A state takes {base['state']:.2f} MiB.")
    print(
        "| moves | budget | moves played again per move | trace / play, CPU | peak, MiB |"
    )
    print("|---|---|---|---|---|")
    for n_steps in options.moves:
        for memory in options.memory:
            found = in_a_process(options.game, n_steps, memory, options.limit)
            more = found["peak"] - base["peak"]
            print(
                f"| {n_steps:,} | {memory} | {found['again']:.2f} | {found['cpu']:.2f} | "
                f"{found['peak']:.0f}, {more:+.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
