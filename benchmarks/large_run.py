"""The constants that a plan of a large run needs; `docs/planning.md` does the sums.

Memory of the graph of a traced move in units of what plain training of the same move
keeps for its backward pass, and CPU time of writing and reading a checkpoint, hashes
included, per GiB. The costs of `play` and `trace` are those of `play_cost.py` and
`trace_cost.py`, those of messages between processes of `weak_scaling.py`.

Run: python benchmarks/large_run.py
"""

import tempfile
import time
from dataclasses import replace

import torch
from torch.nn.functional import softplus

from counterplay import games, nets
from counterplay._checkpoint import FolderCheckpoints
from counterplay._tape import graph_bytes
from counterplay._trajectory import make_plan
from counterplay.game import Columns


BATCH, LATENT, SHAPE = 16, 32, (1, 28, 28)


def plain_bytes(generator, discriminator, real: torch.Tensor) -> int:
    """What autograd keeps for the larger of the two moves of plain training."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    sizes, z = [], torch.randn(len(real), LATENT)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.no_grad():
            fake = generator(z)
        loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake)).mean()
        sizes.append(sum(kept.values()))
        del loss
        kept.clear()
        loss = softplus(-discriminator(generator(z))).mean()
        sizes.append(sum(kept.values()))
        del loss
    return max(sizes)


def main() -> None:
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    x = torch.rand(256, *SHAPE, generator=random) * 2 - 1
    data = Columns({"x": x}, tuple(map(str, range(len(x)))), kind="image")
    print("| networks | graph of a traced move / what plain training keeps |")
    print("|---|---|")
    for options in ({}, {"activation": "tanh", "norm": "none"}):
        pair = nets.pair("dcgan", SHAPE, latent_dim=LATENT, width=32, **options)
        game = games.load("gan")(*pair, latent_dim=LATENT)
        plan = make_plan(data, batch_size=BATCH, seed=0)
        traced = graph_bytes(game, data, plan, game.initial())
        name = ", ".join(options.values()) or "defaults"
        print(f"| DCGAN, {name} | {traced / plain_bytes(*pair, x[:BATCH]):.2f} |")
    state = game.initial()
    large = torch.randn(2**26, generator=random)
    state = replace(state, slots={**state.slots, "G": {"large": large}})
    size = state.n_bytes / 2**30
    with tempfile.TemporaryDirectory() as folder:
        kept = FolderCheckpoints(folder)
        start = time.process_time()
        kept[0] = state
        written = time.process_time()
        kept[0].n_bytes  # noqa: B018 (reads and checks the file)
        read = time.process_time()
    print(
        f"Checkpoints: {(written - start) / size:.1f} CPU seconds to write a GiB, ", end=""
    )
    print(f"{(read - written) / size:.1f} to read it.")


if __name__ == "__main__":
    main()
