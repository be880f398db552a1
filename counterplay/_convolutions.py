"""Convolutions whose derivatives of any order are convolutions, by hand.

PyTorch's second derivative of a convolution exchanges batch and channels, which its kernels
are slow at. The convolution and its two derivatives are linear in either argument, so that
each is a derivative of the two others, and three fast kernels give all orders. They are
used where no `torch.func` transform is at work.
"""

from typing import NamedTuple, Self

import torch
from torch import nn, Tensor
from torch.nn import functional

from counterplay._mode import ByHand, mode, transformed


_FEW = 3  # channels of images


def laid_out(images: Tensor) -> Tensor:
    """Images with their channels last, even where there is one channel.

    Then both orders are the same in memory, and the strides alone tell a convolution in
    which order to answer.
    """
    if transformed():
        return images
    images = images.contiguous(memory_format=torch.channels_last)
    _, channels, h, w = images.shape
    strides = (h * w * channels, 1, w * channels, channels)
    if images.stride() == strides:
        return images
    return images.as_strided(images.shape, strides)


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int
) -> Tensor:
    """`functional.conv2d`, by hand where that is possible."""
    if not mode().by_hand:
        return functional.conv2d(x, weight, bias, stride, padding)
    shape = _Shape((stride,) * 2, (padding,) * 2, (1, 1), 1, mode().channels_last)
    return _Convolve.of(x, weight, bias, shape)


class Conv2d(nn.Conv2d):
    """A convolution whose derivatives of any order are convolutions."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `(batch, c_in, h, w)` to `(batch, c_out, ...)`."""
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        if not (mode().by_hand and plain and input.dim() == 4):
            return super().forward(input)
        return _Convolve.of(input, self.weight, self.bias, _Shape.of(self))


class ConvTranspose2d(nn.ConvTranspose2d):
    """The transpose of a convolution, likewise."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map `(batch, c_in, h, w)` to `(batch, c_out, ...)`."""
        if not (mode().by_hand and output_size is None and input.dim() == 4):
            return super().forward(input, output_size)
        shape = _Shape.of(self)
        h, w = (
            (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + more + 1
            for n, kernel, more, stride, padding, dilation in zip(
                input.shape[2:],
                self.kernel_size,
                self.output_padding,
                *shape[:3],
                strict=True,
            )
        )
        size = torch.Size((len(input), self.out_channels, h, w))
        return _ByInput.of(input, self.weight, self.bias, shape, size)


class _Shape(NamedTuple):
    """How a convolution moves over its input, and in which order images are."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channels_last: bool

    @classmethod
    def of(cls, layer: nn.Conv2d | nn.ConvTranspose2d) -> Self:
        """That of a layer."""
        padding = layer.padding
        assert not isinstance(padding, str)
        return cls(
            layer.stride, padding, layer.dilation, layer.groups, mode().channels_last
        )

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution."""
        return functional.conv2d(self._laid_out(x), weight, bias, *self[:4])

    def by_input(
        self, grad: Tensor, weight: Tensor, bias: Tensor | None, size: torch.Size
    ) -> Tensor:
        """The gradient by an input of some size, which is the transposed convolution."""
        if size[1] <= _FEW and self.groups == 1 and grad.is_cpu:
            return self._folded(grad, weight, bias, size)
        beyond = [
            wanted - (n - 1) * stride + 2 * padding - dilation * (kernel - 1) - 1
            for wanted, n, kernel, stride, padding, dilation in zip(
                size[2:], grad.shape[2:], weight.shape[2:], *self[:3], strict=True
            )
        ]
        return functional.conv_transpose2d(
            self._laid_out(grad), weight, bias, self.stride, self.padding, beyond,
            self.groups, self.dilation,
        )  # fmt: skip

    def _folded(
        self, grad: Tensor, weight: Tensor, bias: Tensor | None, size: torch.Size
    ) -> Tensor:
        """The same by one product of matrices, where PyTorch's kernel wastes vectors."""
        rows = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1]) @ weight.flatten(1)
        patches = rows.view(len(grad), -1, weight[0].numel()).transpose(1, 2)
        images = functional.fold(
            patches, size[2:], weight.shape[2:], self.dilation, self.padding, self.stride
        )
        images = images if bias is None else images + bias.view(-1, 1, 1)
        return self._laid_out(images)

    def by_weight(self, grad: Tensor, x: Tensor, size: torch.Size) -> Tensor:
        """The gradient by a weight of some size."""
        order = torch.channels_last if self.channels_last else torch.contiguous_format
        weight = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=order)
        return torch.ops.aten.convolution_backward(
            self._laid_out(grad), self._laid_out(x), weight, None, *self[:3], False,
            (0, 0), self.groups, (False, True, False),
        )[1]  # fmt: skip

    def _laid_out(self, images: Tensor) -> Tensor:
        return laid_out(images) if self.channels_last else images


#   _Convolve(x, w) = y        _ByInput(g, w) = dy/dx^T g        _ByWeight(g, x) = dy/dw^T g
# The first two may have a bias, added to every pixel.


class _Convolve(ByHand):
    @staticmethod
    def forward(x, weight, bias, shape):
        return shape.forward(x, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, _, ctx.shape = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x, weight) = grads, ctx.saved_tensors
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        return (
            _ByInput.of(grad, weight, None, ctx.shape, x.shape) if by_x else None,
            _ByWeight.of(grad, x, ctx.shape, weight.shape) if by_weight else None,
            grad.sum((0, 2, 3)) if by_bias else None,
            None,
        )


class _ByInput(ByHand):
    @staticmethod
    def forward(grad, weight, bias, shape, size):
        return shape.by_input(grad, weight, bias, size)

    @staticmethod
    def setup_context(ctx, inputs, output):
        grad, weight, _, ctx.shape, _ = inputs
        ctx.save_for_backward(grad, weight)

    @staticmethod
    def backward(ctx, *grads):
        (other,), (grad, weight) = grads, ctx.saved_tensors
        by_grad, by_weight, by_bias, *_ = ctx.needs_input_grad
        return (
            _Convolve.of(other, weight, None, ctx.shape) if by_grad else None,
            _ByWeight.of(grad, other, ctx.shape, weight.shape) if by_weight else None,
            other.sum((0, 2, 3)) if by_bias else None,
            None,
            None,
        )


class _ByWeight(ByHand):
    @staticmethod
    def forward(grad, x, shape, size):
        return shape.by_weight(grad, x, size)

    @staticmethod
    def setup_context(ctx, inputs, output):
        grad, x, ctx.shape, _ = inputs
        ctx.save_for_backward(grad, x)

    @staticmethod
    def backward(ctx, *grads):
        (other,), (grad, x) = grads, ctx.saved_tensors
        by_grad, by_x, *_ = ctx.needs_input_grad
        return (
            _Convolve.of(x, other, None, ctx.shape) if by_grad else None,
            _ByInput.of(grad, other, None, ctx.shape, x.shape) if by_x else None,
            None,
            None,
        )
