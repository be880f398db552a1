"""How much memory does a Frechet distance of 100,000 rows need, streamed and kept?

Two sides of 100,000 generated rows with 2,048 features each, drawn in batches. One process
streams them into moments, the other keeps every row, as most libraries do; both run on one
thread and print the distance, their peak memory less that of an idle process, and CPU time.

Run: python benchmarks/streaming_frechet.py [rows]
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from counterplay.metrics.frechet import (
    frechet_between,
    frechet_distance,
    Moments,
    moments,
    StreamingMoments,
)


D, BATCH = 2_048, 500


def batches(n: int, seed: int) -> Iterator[Tensor]:
    # In float32, as a feature map gives them.
    random = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, -2, D) * (1 + 0.1 * seed)
    for start in range(0, n, BATCH):
        yield torch.randn(min(BATCH, n - start), D, generator=random) * scale


def streamed(n: int, seed: int) -> Moments:
    stream = StreamingMoments(D)
    for batch in batches(n, seed):
        stream.update(batch)
    return stream.finalize()


def kept(n: int, seed: int) -> Tensor:
    return torch.cat(list(batches(n, seed)))


def measured(way: str, n: int) -> None:
    torch.set_num_threads(1)
    torch.linalg.eigvalsh(torch.eye(2))  # loads the library
    idle, start = peak_mib(), time.process_time()
    if way == "streamed":
        distance = frechet_between(streamed(n, 0), streamed(n, 1))
    else:
        distance = frechet_distance(moments(kept(n, 0)), kept(n, 1))
    cpu = time.process_time() - start
    print(f"| {way} | {n:,} | {peak_mib() - idle:,.0f} | {distance:.9f} | {cpu:.0f} |")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print("| rows are | per side | peak MiB | distance | CPU s |\n|---|---|---|---|---|")
    for way, size in (("streamed", n // 10), ("streamed", n), ("kept", n)):
        code = f"import streaming_frechet as s; s.measured({way!r}, {size})"
        subprocess.run([sys.executable, "-c", code], cwd=sys.path[0], check=True)


if __name__ == "__main__":
    main()
