"""Stateful layers made pure, so that their buffers can be part of a game's state.

PyTorch's batch normalisation and spectral normalisation overwrite their buffers without a
derivative. The layers here compute the same numbers, but return the new buffers by plain
assignment (`torch.func.functional_call` hands them back to the caller) and with a
derivative, because a later move depends on them. Parameter and buffer names are PyTorch's,
so state dicts fit both ways.
"""

import copy

import torch
from torch import nn, Tensor
from torch.nn.functional import normalize
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm  # pyright: ignore[reportPrivateUsage]

from counterplay.errors import GameError
from counterplay.typing import Tensors


class BatchNorm(nn.Module):
    """Batch normalisation whose running statistics are values, not side effects."""

    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(self, like: _BatchNorm):
        super().__init__()
        # `pure` refuses running statistics without a momentum.
        self.eps, self.momentum = like.eps, like.momentum or 0.0
        self.weight, self.bias = like.weight, like.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(like, name))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(batch, channels, ...)`; in training, move the running statistics."""
        running_mean, running_var = self.running_mean, self.running_var
        if self.training or running_mean is None or running_var is None:
            dims = [d for d in range(x.dim()) if d != 1]
            mean, var = x.mean(dims), x.var(dims, correction=0)
            if running_mean is not None and running_var is not None:
                n = x.numel() / x.shape[1]
                unbiased = var * (n / max(n - 1, 1))
                self.running_mean = torch.lerp(running_mean, mean, self.momentum)
                self.running_var = torch.lerp(running_var, unbiased, self.momentum)
        else:
            mean, var = running_mean, running_var
        shape = (1, -1) + (1,) * (x.dim() - 2)
        scale = torch.rsqrt(var + self.eps)
        shift = -mean * scale
        if self.weight is not None:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return x * scale.view(shape) + shift.view(shape)


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value.

    Source: Miyato et al. 2018, arXiv 1802.05957, eq. 8 and algorithm 1.
    The singular vectors are buffers. `advance` moves them by power iteration once per move
    of the player; within the move every call of the network sees the same vectors, and the
    player's own gradient takes them as constants, as in the paper.
    """

    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, *, dim: int = 0, n_iterations: int = 1, eps: float = 1e-12
    ):
        super().__init__()
        self.dim, self.n_iterations, self.eps = dim, n_iterations, eps
        matrix = self._matrix(weight.detach())
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        self.register_buffer("_u", u[:, 0].clone())
        self.register_buffer("_v", vh[0].clone())

    def _matrix(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return weight[None]
        return weight.movedim(self.dim, 0).flatten(1)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with spectral norm (about) 1, same shape."""
        sigma = torch.dot(self._u, self._matrix(weight) @ self._v)
        return weight / sigma

    def advance(self, weight: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Power iteration: the next `(u, v)`."""
        matrix = self._matrix(weight)
        for _ in range(self.n_iterations):
            u = normalize(matrix @ v, dim=0, eps=self.eps)
            v = normalize(matrix.mT @ u, dim=0, eps=self.eps)
        return u, v


def advance(module: nn.Module, params: Tensors, buffers: Tensors) -> Tensors:
    """The buffers with which a player enters its next move."""
    moved = dict(buffers)
    for name, layer in module.named_modules():
        if isinstance(layer, SpectralNorm):
            original = name.rsplit(".", 1)[0] + ".original"
            weight = params[original] if original in params else buffers[original]  # frozen
            u, v = f"{name}._u", f"{name}._v"
            moved[u], moved[v] = layer.advance(weight, buffers[u], buffers[v])
    return moved


def spectral_norm(module: nn.Module) -> nn.Module:
    """Put spectral normalisation on every convolution and linear layer, in place."""
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for layer in list(module.modules()):
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *transposed)):
            norm = SpectralNorm(layer.weight, dim=int(isinstance(layer, transposed)))
            parametrize.register_parametrization(layer, "weight", norm, unsafe=True)
    return module


def pure(module: nn.Module) -> nn.Module:
    """A copy in which every layer that writes its buffers is replaced by a pure one.

    Raises:
        GameError: For a layer whose side effects cannot be made part of the state.
    """
    module = copy.deepcopy(module)
    for name, layer in module.named_modules():
        _refuse(name, layer)
    if isinstance(module, _BatchNorm):
        return BatchNorm(module)
    for layer in list(module.modules()):
        for name, child in list(layer.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(layer, name, BatchNorm(child))
            elif isinstance(layer, parametrize.ParametrizationList) and isinstance(
                child, _SpectralNorm
            ):
                layer[int(name)] = _from_torch(child, layer.original)
    return module


def _refuse(name: str, layer: nn.Module) -> None:
    """Refuse a layer whose side effects cannot be made part of the state.

    Raises:
        GameError: If it is one.
    """
    if hasattr(layer, "weight_u"):
        raise GameError(
            f"The layer at {name!r} uses `torch.nn.utils.spectral_norm`, which overwrites "
            "its vectors in a hook. Use `counterplay.nets.spectral_norm` or "
            "`torch.nn.utils.parametrizations.spectral_norm`."
        )
    if isinstance(layer, _InstanceNorm) and layer.track_running_stats:
        raise GameError(
            f"{type(layer).__name__} at {name!r} has `track_running_stats=True` and would "
            "overwrite its statistics. Leave them out, as is the default."
        )
    if (
        isinstance(layer, _BatchNorm)
        and layer.momentum is None
        and layer.track_running_stats
    ):
        raise GameError(
            f"{type(layer).__name__} at {name!r} has `momentum=None` (a running count). "
            "Give it a momentum, such as 0.1."
        )


def _from_torch(stock: _SpectralNorm, weight: Tensor) -> nn.Module:
    """The pure twin of the layer of `torch.nn.utils.parametrizations.spectral_norm`."""
    if not hasattr(
        stock, "_u"
    ):  # a vector, which PyTorch divides by its norm: pure already
        return stock
    twin = SpectralNorm(
        weight, dim=stock.dim, n_iterations=stock.n_power_iterations, eps=stock.eps
    )
    twin.load_state_dict(stock.state_dict())
    return twin
