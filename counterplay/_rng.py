"""Random numbers as functions of what they are for.

Nothing random is ever stored: a draw is determined by `(seed, move, purpose)`, so playing,
resuming, replaying and reversing see the same numbers. Generators live on the CPU, so a run
draws the same numbers whatever device it computes on.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed that depends on every part of `(seed, *purpose)`."""
    text = "/".join(str(part) for part in (seed, *purpose))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *purpose: int | str) -> torch.Generator:
    """A fresh CPU generator for one purpose."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


def permutation(n: int, seed: int, *purpose: int | str) -> Tensor:
    """The order in which `n` things are visited, shape `(n,)`."""
    return torch.randperm(n, generator=generator(seed, *purpose))


@contextmanager
def seeded(seed: int, *purpose: int | str) -> Iterator[None]:
    """Run code that draws from PyTorch's global generator (dropout) reproducibly.

    The global generator is put back afterwards.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, *purpose))
        yield
