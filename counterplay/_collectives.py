"""Sums over processes that can be differentiated any number of times.

A replicated tensor is the same on every process (rank), a rank's own is not. Two functions
lead from one kind to the other, and each is the transpose of the other:

- `spread`: replicated tensors enter a rank's own computation; backwards, the cotangents
  that the ranks found are summed to a replicated one.
- `collect`: what the ranks computed is summed to a replicated tensor; backwards, each rank
  goes on with the replicated cotangent.

Each call is one message forwards or one backwards, however many tensors it takes; all ranks
must call in the same order. Source: the functions f and g of Shoeybi et al. 2019, arXiv
1909.08053, section 3, there for parts of a layer, here closed under differentiation.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import distributed, Tensor

from counterplay.errors import RankError


def spread(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Replicated tensors as inputs of a rank's own computation."""
    # An output of the function has a graph as soon as one of its inputs has.
    followed = [tensor for tensor in tensors if tensor.requires_grad]
    entered = iter(_Spread.apply(*followed) if followed else ())
    return [next(entered) if tensor.requires_grad else tensor for tensor in tensors]


def collect(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sums over ranks of what each has computed, replicated."""
    return list(_Collect.apply(*tensors)) if tensors else []


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(*tensors):
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def setup_context(ctx, inputs, output):
        del inputs, output
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *cotangents):
        return _through(_Collect, cotangents)


class _Collect(torch.autograd.Function):
    @staticmethod
    def forward(*tensors):
        return tuple(_sums(tensors))

    @staticmethod
    def setup_context(ctx, inputs, output):
        del inputs, output
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *cotangents):
        return _through(_Spread, cotangents)


def _through(function, cotangents):
    """The function of the cotangents that there are; a graph is the same on every rank."""
    present = [cotangent for cotangent in cotangents if cotangent is not None]
    found = iter(function.apply(*present) if present else ())
    return tuple(None if cotangent is None else next(found) for cotangent in cotangents)


def _sums(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Sums over ranks, in one message for each dtype."""
    sums: list[Tensor] = list(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[i].reshape(-1) for i in places])
        with in_contact("summing over ranks"):
            distributed.all_reduce(flat)
        pieces = flat.split([tensors[i].numel() for i in places])
        for i, piece in zip(places, pieces, strict=True):
            like, piece = tensors[i], piece.view(tensors[i].shape)
            # Other layouts of memory (channels last) are kept: mixing them is slow.
            sums[i] = piece if like.is_contiguous() else torch.empty_like(like).copy_(piece)
    return sums


def gather(text: str) -> list[str]:
    """The texts of all ranks, which must be of one length."""
    mine = _letters(text)
    found = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    with in_contact("comparing the ranks"):
        distributed.all_gather(found, mine)
    return [bytes(one.tolist()).decode() for one in found]


def broadcast(text: str) -> str:
    """The text of the first rank."""
    length = torch.tensor(len(text.encode()), device=_device())
    with in_contact("waiting for the first rank"):
        distributed.broadcast(length, 0)
        letters = _letters(" " * int(length)) if distributed.get_rank() else _letters(text)
        if len(letters):
            distributed.broadcast(letters, 0)
    return bytes(letters.tolist()).decode()


def largest(number: int) -> int:
    """The largest of the ranks' numbers."""
    found = torch.tensor(number, device=_device())
    with in_contact("comparing the ranks"):
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def _letters(text: str) -> Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.uint8, device=_device())


def _device() -> str:
    """Where the ranks exchange words; the group of another launcher may know GPUs only."""
    return "cpu" if "cpu:" in distributed.get_backend_config() else "cuda"


@contextmanager
def in_contact(what: str) -> Iterator[None]:
    """Say what happened when another rank does not answer.

    Yields:
        Nothing.

    Raises:
        RankError: If it does not.
    """
    try:
        yield
    except RuntimeError as error:
        raise RankError(
            f"Contact with another rank was lost while {what}: it has stopped, failed or "
            f"taken too long. Its own message says why; this one stops too. What was "
            f"written before is intact: start all ranks again, with `--resume`. (PyTorch: "
            f"{str(error).splitlines()[0]})"
        ) from error
