"""Kinks: what the second derivative of a piecewise linear function leaves out.

The slope of a ReLU jumps where its unit crosses 0. Its second derivative is a spike there
(Dirac's delta), and autograd takes it for 0. A trace then says what the run would become if
no unit ever crossed its kink; but other weights make some cross, and every one that does
moves the run by a whole jump. How many cross is the density of the unit's values at the
kink, which a batch shows: each value counts by a bell (a kernel density estimate) whose
width is a share of the unit's root mean square. That is the spike, smeared out.

Values and first derivatives stay as they are, to the bit: only the pass that carries a
cotangent back through a move sees the bells.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


Jumps = list[tuple[float, float]]  # where the slope jumps, and by how much


class Kinks:
    """Notes the kinks of what is computed, and shows them to derivatives when asked.

    Noted are `relu`, `leaky_relu`, `relu6`, `hardtanh`, `abs` and `clamp` to numbers, as
    functions and as methods; so layers, losses with hinges and absolute errors are covered,
    maxima and pooling are not.

    Attributes:
        width: Standard deviation of a bell, as a share of the root mean square of what
            enters a unit (over all dimensions but the second), measured from the kink.
        are_seen: Whether derivatives see the bells at the moment.
    """

    def __init__(self, width: float):
        """Take the width of the bells."""
        self.width, self.are_seen = width, False

    def noted(self) -> AbstractContextManager[Any]:
        """Functions called meanwhile note their kinks."""
        return _Noting(self)

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Derivatives taken meanwhile see the bells at the kinks that were noted.

        Yields:
            Nothing.
        """
        self.are_seen = True
        try:
            yield
        finally:
            self.are_seen = False

    def bell(self, x: Tensor) -> Tensor:
        """The smeared spike at 0 of each unit, of the shape of `x`, in units of 1 / `x`."""
        others = [i for i in range(x.dim()) if i != 1]
        width = self.width * x.square().mean(others, keepdim=True).sqrt()
        heights = torch.exp(-(x / width).square() / 2) / (math.sqrt(2 * math.pi) * width)
        return torch.where(width > 0, heights, 0.0)  # a dead unit crosses nothing


class _Noting(TorchFunctionMode):
    """Adds a bend to every piecewise linear function: 0, to be found by derivatives."""

    def __init__(self, kinks: Kinks):
        super().__init__()
        self._kinks = kinks

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        find = _JUMPS.get(func)
        if find is None:
            return func(*args, **kwargs)
        x, *others = args or (kwargs["input"],)
        options = {name: value for name, value in kwargs.items() if name != "input"}
        # A function that works in place would leave nothing to see the kinks by.
        x_before = x.clone() if func in _IN_PLACE or options.get("inplace") else x
        out = func(*args, **kwargs)
        if x.is_floating_point():
            for at, jump in find(*others, **options):
                out = out + _Bend.apply(x_before - at, self._kinks, jump)
        return out


class _Bend(torch.autograd.Function):
    """0, whose slope is 0, whose second derivative is the bell times the jump."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, kinks, jump):
        return torch.zeros_like(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.kinks, ctx.jump = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, *grads):
        (x,) = ctx.saved_tensors
        return _Slope.apply(grads[0], x, ctx.kinks, ctx.jump), None, None


class _Slope(torch.autograd.Function):
    """The 0 that a gradient is multiplied by on its way through a bend."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad, x, kinks, jump):
        return torch.zeros_like(grad)

    @staticmethod
    def setup_context(ctx, inputs, output):
        grad, x, ctx.kinks, ctx.jump = inputs
        ctx.save_for_backward(grad, x)

    @staticmethod
    def backward(ctx, *grads):
        (other,), (grad, x) = grads, ctx.saved_tensors
        if not ctx.kinks.are_seen:  # a penalty on slopes: part of the move itself
            return _Slope.apply(other, x, ctx.kinks, ctx.jump), None, None, None
        return None, other * grad * ctx.jump * ctx.kinks.bell(x), None, None


def _of_relu(inplace: bool = False) -> Jumps:
    del inplace
    return [(0.0, 1.0)]


def _of_leaky_relu(negative_slope: float = 0.01, inplace: bool = False) -> Jumps:
    del inplace
    return [(0.0, 1.0 - negative_slope)]


def _of_relu6(inplace: bool = False) -> Jumps:
    del inplace
    return [(0.0, 1.0), (6.0, -1.0)]


def _of_hardtanh(
    min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Jumps:
    del inplace
    return [(min_val, 1.0), (max_val, -1.0)]


def _of_abs() -> Jumps:
    return [(0.0, 2.0)]


def _of_clamp(min: Any = None, max: Any = None) -> Jumps:
    bounds = [(min, 1.0), (max, -1.0)]
    return [(float(at), jump) for at, jump in bounds if isinstance(at, int | float)]


def _of_clamp_max(max: Any) -> Jumps:
    return _of_clamp(None, max)


_JUMPS: dict[Callable, Callable[..., Jumps]] = {
    **dict.fromkeys((functional.relu, torch.relu, Tensor.relu), _of_relu),
    **dict.fromkeys((torch.relu_, Tensor.relu_), _of_relu),
    functional.leaky_relu: _of_leaky_relu,
    functional.relu6: _of_relu6,
    functional.hardtanh: _of_hardtanh,
    **dict.fromkeys((torch.abs, Tensor.abs), _of_abs),
    **dict.fromkeys((torch.clamp, Tensor.clamp), _of_clamp),
    **dict.fromkeys((torch.clamp_min, Tensor.clamp_min), _of_clamp),
    **dict.fromkeys((torch.clamp_max, Tensor.clamp_max), _of_clamp_max),
}
_IN_PLACE = (torch.relu_, Tensor.relu_)
