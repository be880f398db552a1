"""Stateful layers made pure, so that their buffers can be part of a game's state.

PyTorch's batch normalisation and spectral normalisation overwrite their buffers without a
derivative. The layers here compute the same numbers, but return the new buffers by plain
assignment (`torch.func.functional_call` hands them back to the caller) and with a
derivative, because a later move depends on them. Parameter and buffer names are PyTorch's,
so state dicts fit both ways.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn, Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm  # pyright: ignore[reportPrivateUsage]

from counterplay import _by_hand, _convolutions
from counterplay._mode import mode
from counterplay.errors import GameError
from counterplay.typing import Tensors


_TWINS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: _convolutions.Conv2d,
    nn.ConvTranspose2d: _convolutions.ConvTranspose2d,
    nn.Flatten: _by_hand.Flatten,
    nn.GroupNorm: _by_hand.GroupNorm,
    nn.SiLU: _by_hand.SiLU,
    nn.Unflatten: _by_hand.Unflatten,
}

# Where a batch is computed in parts: what takes means over parts, and how many there are.
_pool: ContextVar[tuple[Callable[[Tensor], Tensor], int] | None]
_pool = ContextVar("pool", default=None)


@contextmanager
def pooled(mean: Callable[[Tensor], Tensor], n_parts: int) -> Iterator[None]:
    """Take the statistics of batch normalisation over all parts of a batch.

    Args:
        mean: From a statistic of this part to its mean over the parts, of equal size.
        n_parts: How many there are.

    Yields:
        Nothing.
    """
    token = _pool.set((mean, n_parts))
    try:
        yield
    finally:
        _pool.reset(token)


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
        mean, var = self.running_mean, self.running_var
        if self.training or mean is None or var is None:
            if mode().constant_buffers and _pool.get() is None:
                return self._by_kernel(x)
            mean, var = self._statistics(x)
        shape = (1, -1) + (1,) * (x.dim() - 2)
        scale = torch.rsqrt(var + self.eps)
        if self.weight is None:
            return (x - mean.view(shape)) * scale.view(shape)
        scale = (scale * self.weight).view(shape)
        return (x - mean.view(shape)) * scale + self.bias.view(shape)

    def _by_kernel(self, x: Tensor) -> Tensor:
        """PyTorch's kernel, which overwrites copies of the statistics."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean = self.running_mean.clone()
            self.running_var = self.running_var.clone()
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=True,
            momentum=self.momentum,
            eps=self.eps,
        )

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the batch; the running ones move."""
        dims = [d for d in range(x.dim()) if d != 1]
        mean = x.mean(dims, keepdim=True)
        var = (x - mean).square().mean(dims)
        mean, n = mean.flatten(), x.numel() / x.shape[1]
        if (pool := _pool.get()) is not None:
            (of_parts, n_parts), of_part = pool, mean
            mean, n = of_parts(of_part), n * n_parts
            var = of_parts(var + (of_part - mean).square())
        if self.running_mean is not None and self.running_var is not None:
            unbiased = var * (n / max(n - 1, 1))
            self.running_mean = torch.lerp(self.running_mean, mean, self.momentum)
            self.running_var = torch.lerp(self.running_var, unbiased, self.momentum)
        return mean, var


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
        with torch.autocast(weight.device.type, enabled=False):
            sigma = torch.dot(self._u, self._matrix(weight) @ self._v)
            return weight / sigma

    def advance(self, weight: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Power iteration: the next `(u, v)`."""
        matrix = self._matrix(weight)
        for _ in range(self.n_iterations):
            u = functional.normalize(matrix @ v, dim=0, eps=self.eps)
            v = functional.normalize(matrix.mT @ u, dim=0, eps=self.eps)
        return u, v


class Borrowed:
    """A module of our own as a function of its tensors and inputs.

    What `torch.func.functional_call` does for any module, for one that nobody else uses,
    whose tensors are put in place with one dictionary entry each: a small network spends
    more time in the former than in its layers.
    """

    def __init__(self, module: nn.Module, prefix: str = ""):
        self.module = module
        # Tied tensors have one name in the state and several places in the module.
        names = {
            id(tensor): prefix + name
            for tensors in (module.named_parameters(), module.named_buffers())
            for name, tensor in tensors
        }
        self._places: list[tuple[str, dict[str, Any], str]] = [
            (names[id(tensor)], slots, key)
            for layer in module.modules()
            for slots in (vars(layer)["_parameters"], vars(layer)["_buffers"])
            for key, tensor in slots.items()
            if tensor is not None
        ]
        self._own = [slots[key] for _, slots, key in self._places]

    def __call__(self, tensors: Tensors, *inputs: Tensor) -> Tensor:
        """The output; buffers that the module replaces are replaced in `tensors`."""
        for name, slots, key in self._places:
            slots[key] = tensors[name]
        try:
            output = self.module(*inputs)
            for name, slots, key in self._places:
                tensors[name] = slots[key]
        finally:  # no graph must outlive its move
            for (_, slots, key), own in zip(self._places, self._own, strict=True):
                slots[key] = own
        return output


def spectral_layers(module: nn.Module) -> dict[str, SpectralNorm]:
    """The layers of a pure module whose singular vectors move, by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, SpectralNorm)
    }


def advance(
    layers: Mapping[str, SpectralNorm], params: Tensors, buffers: Tensors
) -> Tensors:
    """The buffers with which a player enters its next move."""
    moved = dict(buffers)
    for name, layer in layers.items():
        original = name.rsplit(".", 1)[0] + ".original"
        weight = params[original] if original in params else buffers[original]  # frozen
        u, v = f"{name}._u", f"{name}._v"
        moved[u], moved[v] = layer.advance(weight, buffers[u], buffers[v])
    return moved


# What draws from PyTorch's global generator, and what mixes the rows of a batch.
DRAWING = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
)
MIXING = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    BatchNorm,
)


def spectral_norm(module: nn.Module) -> nn.Module:
    """Put spectral normalisation on every convolution and linear layer, in place.

    Raises:
        GameError: If something else, such as an adapter, already computes a weight.
    """
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *transposed)
    for name, layer in list(module.named_modules()):
        if isinstance(layer, kinds):
            if parametrize.is_parametrized(layer, "weight"):
                raise GameError(_on_top(name))
            norm = SpectralNorm(layer.weight, dim=int(isinstance(layer, transposed)))
            parametrize.register_parametrization(layer, "weight", norm, unsafe=True)
    return module


def _on_top(name: str) -> str:
    return (
        f"The layer at {name!r} would have spectral normalisation of a weight that is "
        "computed, for example by an adapter of low rank, but with the singular vectors of "
        "the weight before. Use one of the two, each on the plain network."
    )


def pure(module: nn.Module) -> nn.Module:
    """A copy in which every layer that writes its buffers is replaced by a pure one.

    Layers that have a twin with derivatives written by hand are replaced as well.

    Raises:
        GameError: For a layer whose side effects cannot be made part of the state.
    """
    module = copy.deepcopy(module)
    for name, layer in module.named_modules():
        _refuse(name, layer)
    module = _twin(module)
    for layer in list(module.modules()):
        for name, child in list(layer.named_children()):
            if (twin := _twin(child)) is not child:
                setattr(layer, name, twin)
            elif isinstance(layer, parametrize.ParametrizationList) and isinstance(
                child, _SpectralNorm
            ):
                layer[int(name)] = _from_torch(child, layer.original)
    return module


def _twin(layer: nn.Module) -> nn.Module:
    """What computes as a layer does, but pure or faster; itself if there is no such."""
    if isinstance(layer, _BatchNorm):
        return BatchNorm(layer)
    kind = type(layer)
    if kind in _TWINS:
        layer.__class__ = _TWINS[kind]
    elif parametrize.is_parametrized(layer) and kind.__base__ in _TWINS:
        # PyTorch makes a class for each such layer, which holds its computed tensors.
        own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        layer.__class__ = type(kind.__name__, (_TWINS[kind.__base__],), own)
    return layer


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
    if isinstance(layer, parametrize.ParametrizationList) and any(
        isinstance(each, SpectralNorm | _SpectralNorm) for each in list(layer)[1:]
    ):
        raise GameError(_on_top(name.removesuffix(".parametrizations.weight")))
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
