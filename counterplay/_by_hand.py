"""Layers whose derivatives are written by hand.

PyTorch differentiates twice what it differentiates once, but it composes the second
derivative of dozens of passes over memory, and lets images change their order in memory on
the way, which makes those passes several times slower. The layers here are used where no
`torch.func` transform is at work; everywhere else they are the layers that they replace.
"""

from typing import NamedTuple

import torch
from torch import nn, Tensor
from torch.nn import functional

from counterplay._mode import ByHand, mode


class SiLU(nn.SiLU):
    """`x sigmoid(x)` with a short second derivative."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        once = mode().constant_buffers  # then PyTorch's own derivative is as short
        if not mode().by_hand or once or self.inplace:
            return super().forward(input)
        return _SiLU.of(input)


class _SiLU(ByHand):
    @staticmethod
    def forward(x):
        return functional.silu(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, *grads):
        (grad,), (x,) = grads, ctx.saved_tensors
        return _SiLUBackward.of(grad, x)


class _SiLUBackward(ByHand):
    @staticmethod
    def forward(grad, x):
        return torch.ops.aten.silu_backward(grad, x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, *grads):
        (other,), (grad, x) = grads, ctx.saved_tensors
        # silu'' = s (1 - s) (2 + x - 2 x s) for s = sigmoid(x)
        s = x.sigmoid()
        bend = torch.addcmul(x, x, s, value=-2).add_(2)
        bend = torch.ops.aten.sigmoid_backward(bend, s).mul_(grad) * other
        return _SiLUBackward.of(other, x), bend


class Flatten(nn.Flatten):
    """Flattens images and hands their gradient back in the order of the images."""

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, ...)` to `(batch, n)`, or as `nn.Flatten` is told."""
        if input.dim() == 4 and mode().by_hand and mode().channels_last:
            input = _Leaving.of(input)
        return super().forward(input)


class Unflatten(nn.Unflatten):
    """Makes images of vectors, in the order that images have."""

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, n)` to `(batch, channels, h, w)`, or as `nn.Unflatten` is told."""
        images = super().forward(input)
        if images.dim() == 4 and mode().channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images


class _Leaving(ByHand):
    """The identity on images; its gradient is put in the images' order."""

    @staticmethod
    def forward(x):
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *grads):
        return _channels_last(grads[0])


class GroupNorm(nn.GroupNorm):
    """Group normalisation of images with few passes over memory."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape, `(batch, channels, h, w)`, or what `nn.GroupNorm` takes."""
        images = input.dim() == 4 and mode().channels_last
        if not (mode().by_hand and images and self.affine):
            return super().forward(input)
        n, channels, h, w = input.shape
        groups = _Groups(n, channels, h * w, self.num_groups, self.eps)
        return _GroupNorm.of(input, self.weight, self.bias, groups)[0]


class _Groups(NamedTuple):
    """Sizes of images and of the groups of their channels."""

    n: int
    channels: int
    pixels: int
    n_groups: int
    eps: float

    def average(self, by_channel: Tensor) -> Tensor:
        """Sums over pixels, `(n, channels)`, to means over groups, `(n, n_groups)`."""
        each = self.channels // self.n_groups
        return by_channel.view(self.n, self.n_groups, each).sum(-1) / (self.pixels * each)

    def spread(self, by_group: Tensor) -> Tensor:
        """Values of groups, for each of their channels."""
        each = self.channels // self.n_groups
        wide = by_group.unsqueeze(-1).expand(self.n, self.n_groups, each)
        return wide.reshape(self.n, self.channels)

    def centred(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The images without the means of their groups, those means, and 1 / deviation."""
        mean = self.average(x.sum((2, 3)))
        centred = x - self.spread(mean)[:, :, None, None]
        var = self.average(centred.square().sum((2, 3)))
        return centred, mean, (var + self.eps).rsqrt()


class _GroupNorm(ByHand):
    @staticmethod
    def forward(x, weight, bias, groups):
        centred, mean, rate = groups.centred(x)
        factor = weight * groups.spread(rate)
        y = torch.addcmul(bias[:, None, None], factor[:, :, None, None], centred)
        return y, mean, rate

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, _, ctx.groups = inputs
        _, mean, rate = output
        ctx.mark_non_differentiable(mean, rate)
        ctx.save_for_backward(x, weight, mean, rate)

    @staticmethod
    def backward(ctx, *grads):
        x, weight, mean, rate = ctx.saved_tensors
        by_x, by_weight, by_bias = _GroupNormBackward.of(
            grads[0], x, weight, mean, rate, ctx.groups
        )
        return by_x, by_weight, by_bias, None


class _GroupNormBackward(ByHand):
    """From g, the gradient by y, the gradients by x, weight and bias.

    With y = weight n + bias, n = rate (x - mean), a = weight g and means over groups:
    dx = rate (a - mean(a) - n mean(a n)); by channel, dweight = sum(g n), dbias = sum(g).
    """

    @staticmethod
    def forward(grad, x, weight, mean, rate, groups):
        # The kernel takes both to be in the order of one of them, without a look.
        grad, x = _channels_last(grad), _channels_last(x)
        return torch.ops.aten.native_group_norm_backward(
            grad, x, mean, rate, weight, *groups[:4], (True, True, True)
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.groups = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, *grads):
        u, v, w = grads
        g, x, weight, mean, rate = ctx.saved_tensors
        groups: _Groups = ctx.groups
        if torch.is_grad_enabled():  # for a third derivative they depend on x
            _, mean, rate = groups.centred(x)
        rate, mean = groups.spread(rate), groups.spread(mean)

        def average(by_channel: Tensor) -> Tensor:
            return groups.spread(groups.average(by_channel))

        # All (n, channels): sums over pixels, and means over groups of products.
        sum_g, sum_u, sum_gu = g.sum((2, 3)), u.sum((2, 3)), (g * u).sum((2, 3))
        sum_gn = rate * ((g * x).sum((2, 3)) - mean * sum_g)
        sum_un = rate * ((u * x).sum((2, 3)) - mean * sum_u)
        mean_a, mean_an = average(weight * sum_g), average(weight * sum_gn)
        mean_u, mean_un = average(sum_u), average(sum_un)
        mean_b, mean_bn = average(v * sum_g), average(v * sum_gn)  # b = v g
        bend = average(weight * sum_gu) - mean_u * mean_a - 3 * mean_un * mean_an
        factor = -rate * (rate * bend + mean_bn)  # of n in the derivative by x
        slope = v - weight * rate * mean_un  # of n in the derivative by g
        by_x = _combined(
            rate.square() * (mean_an * mean_u + mean_un * mean_a)
            - rate * (mean_b + mean * factor),
            (rate * factor, x),
            (-rate.square() * mean_an, u),
            (rate * (v - rate * mean_un * weight), g),
        )
        by_g = _combined(
            w - weight * rate * mean_u - rate * mean * slope,
            (rate * slope, x),
            (weight * rate, u),
        )
        by_weight = (rate * (sum_gu - mean_u * sum_g - mean_un * sum_gn)).sum(0)
        return by_g, by_x, by_weight, None, None, None


def _channels_last(images: Tensor) -> Tensor:
    # Not by a memory format, which does not exist where gradients are batched.
    return images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _combined(constant: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """A sum of images, each times a factor by channel."""
    found = constant[:, :, None, None]
    for factor, images in terms:
        found = torch.addcmul(found, factor[:, :, None, None], images)
    return found
