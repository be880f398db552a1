"""What layers may take for granted while a player's loss is differentiated."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Mode:
    """What layers may take for granted; nothing unless `computing` says so.

    Attributes:
        by_hand: Autocast is not at work.
        channels_last: Images have their channels last in memory.
        constant_buffers: New buffers are wanted as values, without a derivative.
    """

    by_hand: bool = False
    channels_last: bool = False
    constant_buffers: bool = False


_UNKNOWN = Mode()
_mode: ContextVar[Mode] = ContextVar("mode", default=_UNKNOWN)


def mode() -> Mode:
    """The mode of the moment; nothing is certain inside of a `torch.func` transform."""
    return _UNKNOWN if transformed() else _mode.get()


def transformed() -> bool:
    """Whether a `torch.func` transform is at work, as inside of a gradient penalty."""
    return torch._C._are_functorch_transforms_active()  # pyright: ignore[reportPrivateUsage]


class ByHand(torch.autograd.Function):
    """A function whose derivative is written by hand, for where no transform is at work.

    Its `forward` consists of what PyTorch can differentiate too, and does inside of one.
    """

    @classmethod
    def of(cls, *inputs: Any) -> Any:
        """The value."""
        if transformed():
            return cls.forward(*inputs)
        # `Function.apply` reads the signature of `forward` anew at every call, which is
        # most of what it costs.
        return super(torch.autograd.Function, cls).apply(*inputs)  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def computing(mode: Mode) -> Iterator[None]:
    """Let layers compute in a mode.

    Yields:
        Nothing.
    """
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)
