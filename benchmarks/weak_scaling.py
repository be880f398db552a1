"""What do several processes cost that share each batch, and what do they tell each other?

Weak scaling: every process (rank) has 64 instances of each batch of a 28 x 28 DCGAN, so
that work per rank stays the same. CPU seconds of all ranks per image, of `play` and of
`trace`, are in units of one process in the same round, so that ratios hold on a shared
machine; beyond its cores, more ranks only show that the cost per image stays. Messages and
bytes are counted, and given in parameters of the two players, which is what a plan for a
larger network needs.

Run: python benchmarks/weak_scaling.py
"""

import os
import socket
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from torch import distributed

from counterplay import games, metrics, nets, play, trace
from counterplay.game import Columns
from counterplay.ranks import Ranks


SHAPE, LATENT, EACH, STEPS = (1, 28, 28), 32, 64, 32
SIZES, ROUNDS = (1, 2, 4), 3


@dataclass
class Count:
    """CPU seconds, and what was summed over ranks."""

    seconds: float = 0.0
    messages: int = 0
    n_bytes: int = 0
    telling: float = 0.0  # CPU seconds in messages

    def __enter__(self):
        self._all_reduce, self._began = distributed.all_reduce, time.process_time()
        distributed.all_reduce = self._counted
        return self

    def __exit__(self, *error):
        distributed.all_reduce = self._all_reduce
        self.seconds = time.process_time() - self._began

    def _counted(self, tensor, *options):
        began = time.process_time()
        self._all_reduce(tensor, *options)
        self.telling += time.process_time() - began
        self.messages, self.n_bytes = self.messages + 1, self.n_bytes + tensor.nbytes


def work(rank: int, n: int, port: int) -> tuple[Count, Count, dict[str, int]]:
    """What one rank of `n` spends on playing and on tracing."""
    torch.set_num_threads(1)
    found = {"RANK": rank, "WORLD_SIZE": n, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in found.items()})
    pair = nets.pair("dcgan", SHAPE, latent_dim=LATENT, width=32, norm="group")
    game = games.load("gan")(*pair, latent_dim=LATENT)
    random = torch.Generator().manual_seed(0)
    x = torch.rand(4 * EACH * max(SIZES), *SHAPE, generator=random) * 2 - 1
    data = Columns({"x": x}, tuple(map(str, range(len(x)))), kind="image")
    metric = metrics.of_samples(
        lambda fake: fake.square().mean(), game, n=EACH, higher_is_better=False
    )
    with Ranks.joined() as ranks:
        options = {"n_steps": STEPS, "batch_size": n * EACH, "every": STEPS, "ranks": ranks}
        run = play(game, data, **options)  # warms up
        with Count() as playing:
            run = play(game, data, **options)
        with Count() as tracing:
            trace(game, data, run, metric, ranks=ranks)
    n_params = {
        player: sum(p.nbytes for p in params.values())
        for player, params in run.final.params.items()
    }
    return playing, tracing, n_params


def group(n: int) -> list[tuple[Count, Count, dict[str, int]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ProcessPoolExecutor(n, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, range(n), [n] * n, [port] * n))


def main() -> None:
    rows: dict[int, list[tuple[float, ...]]] = {n: [] for n in SIZES}
    for _ in range(ROUNDS):
        base = (1.0, 1.0)
        for n in SIZES:
            found = group(n)
            cost = tuple(sum(one[i].seconds for one in found) / n for i in (0, 1))
            share = [sum(one[i].telling for one in found) / n / cost[i] for i in (0, 1)]
            base = cost if n == 1 else base
            rows[n].append((cost[0] / base[0], cost[1] / base[1], *share))
        playing, tracing, sizes = found[0]
    print("ranks  CPU per image: play  trace   of it in messages: play  trace")
    for n, found in rows.items():
        play_, trace_, told, told_back = map(statistics.median, zip(*found, strict=True))
        print(f"{n:5}  {play_:19.2f}  {trace_:5.2f}   {told:23.1%}  {told_back:5.1%}")
    both = sum(sizes.values())
    print(f"parameters: {', '.join(f'{k} {v / 4:,.0f}' for k, v in sizes.items())}")
    for name, count in (("play", playing), ("trace", tracing)):
        print(
            f"{name}: {count.messages / STEPS:.1f} messages and "
            f"{count.n_bytes / STEPS / 1024:,.0f} KiB a move, "
            f"{count.n_bytes / STEPS / both:.2f} times both players' parameters"
        )


if __name__ == "__main__":
    main()
