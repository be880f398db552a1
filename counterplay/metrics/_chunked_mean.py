"""The mean of a function over many rows, without the memory of them all."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterplay.typing import Features, Scalar


_ELEMENTS = 2**22  # of an intermediate matrix that is in memory at a time


def mean_by_parts(
    function: Callable[..., Tensor], rows: Features, *others: Tensor, width: int
) -> Scalar:
    """The mean of `function(rows, *others)`, taken over one part of the rows after another.

    The gradient of a part is computed together with its value, so nothing is kept for it;
    it has none of its own.

    Args:
        function: Gives one number for each row, by that row and the others alone.
        rows: What is taken part by part.
        others: What every part is given. The result is differentiable in these and in the
            rows, but in nothing else that the function reads.
        width: The columns of the largest matrix that the function makes of a row.
    """
    size = max(1, _ELEMENTS // width)
    inputs = (rows, *others)
    if not torch.is_grad_enabled():  # which a function's `forward` does not see
        inputs = tuple(x.detach() for x in inputs)
    return _Total.apply(function, size, *inputs) / len(rows)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, function: Callable[..., Tensor], size: int, *inputs: Tensor
    ) -> Tensor:
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[2:]) if needed]
        slopes = {i: torch.zeros_like(inputs[i]) for i in wanted}
        total = inputs[0].new_zeros(())
        for start in range(0, len(inputs[0]), size):
            rows = slice(start, start + size)
            given = [inputs[0][rows], *inputs[1:]]
            given = [x.detach().requires_grad_(i in slopes) for i, x in enumerate(given)]
            with torch.set_grad_enabled(bool(slopes)):
                value = function(*given).sum()
            total += value.detach()
            parts = torch.autograd.grad(value, [given[i] for i in wanted]) if wanted else ()
            for i, part in zip(wanted, parts, strict=True):
                slopes[i][... if i else rows] += part
        ctx.save_for_backward(*(slopes.get(i) for i in range(len(inputs))))
        return total

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, pull: Tensor
    ) -> tuple[Tensor | None, ...]:
        slopes = (None if s is None else pull * s for s in ctx.saved_tensors)
        return None, None, *slopes
