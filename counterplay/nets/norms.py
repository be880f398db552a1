"""Normalisation that leaves the instances of a batch alone, and ways out of batch norm."""

import copy
from collections.abc import Callable

import torch
from torch import nn, Tensor

from counterplay.errors import ConfigError, GameError


NORMS = ("group", "layer", "batch", "none")
_BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def norm(name: str, channels: int, *, affine: bool = True) -> nn.Module:
    """The normalisation layer called `name` for `(batch, channels, ...)`.

    `"group"` has up to eight groups of at least four channels, `"layer"` takes all channels
    together, `"batch"` mixes the instances of a batch, `"none"` does nothing. With `affine`
    it learns a scale and a shift of each channel.

    Raises:
        ConfigError: If there is no such normalisation.

    Example:
        >>> norm("group", 32).num_groups
        8
    """
    match name:
        case "group":
            return nn.GroupNorm(_n_groups(channels), channels, affine=affine)
        case "layer":
            return nn.GroupNorm(1, channels, affine=affine)
        case "batch":
            return nn.BatchNorm2d(channels, affine=affine)
        case "none":
            return nn.Identity()
    raise ConfigError(f"There is no norm {name!r}; there are {list(NORMS)}.")


def without_batch_norm(module: nn.Module) -> nn.Module:
    """A copy of `module` with group norm wherever it had batch norm.

    The learned scale and shift are kept, the running statistics are dropped: a trained
    network has to be trained further. Group norm normalises each instance by itself, so one
    instance has an influence of its own.

    Args:
        module: Any network; it is not changed.

    Returns:
        The copy. `BatchNorm1d` becomes a single group, because its groups have no pixels to
        average over.

    Example:
        >>> type(without_batch_norm(nn.BatchNorm2d(16))).__name__
        'GroupNorm'
    """
    return _replaced(module, _group_norm)


def virtual_batch_norm(module: nn.Module, reference: Tensor) -> "VirtualBatchNormed":
    """A copy of `module` with virtual batch norm wherever it had batch norm.

    Each row is normalised as in a batch of the reference rows and itself, the reference by
    its own statistics. Rows so do not depend on each other, and a discriminator may have it
    too. Learned scales and shifts are kept, running statistics dropped. Every call computes
    the reference again.

    The reference is part of the network and has no weight, so no influence runs through it.
    Give a generator latents, and a discriminator instances that are held out: training
    instances would be learnt from without being counted.

    Source: Salimans et al. 2016, arXiv 1606.03498, section 3.5.

    Args:
        module: A network of one input; it is not changed.
        reference: Inputs of it, at least two.

    Returns:
        The copy, which holds the reference.

    Raises:
        GameError: If there is no batch norm, or no two reference rows.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> virtual_batch_norm(network, torch.zeros(8, 2))(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """
    if len(reference) < 2:
        raise GameError(
            f"A reference batch of {len(reference)} has no spread to normalise by. Give at "
            "least two rows, better as many as a batch has."
        )
    if not any(isinstance(layer, _BatchNorm) for layer in module.modules()):
        raise GameError(
            f"{type(module).__name__} has no batch norm that could become virtual. Build "
            "it with batch norm first, such as `norm='batch'` of a generator."
        )
    virtual = _replaced(module, lambda layer: VirtualBatchNorm(layer, len(reference)))
    return VirtualBatchNormed(virtual, reference)


class VirtualBatchNormed(nn.Module):
    """A network that reads its reference batch before every input."""

    reference: Tensor

    def __init__(self, network: nn.Module, reference: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("reference", reference.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """The output for the rows of `x`."""
        return self.network(torch.cat([self.reference, x]))[len(self.reference) :]


class VirtualBatchNorm(nn.Module):
    """Batch norm of the first rows by themselves, and of each other row among them."""

    def __init__(self, like: _BatchNorm, n_reference: int):
        super().__init__()
        self.n_reference, self.eps = n_reference, like.eps
        self.weight, self.bias = like.weight, like.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(batch, channels, ...)`, the reference in front."""
        n, places = self.n_reference, x.flatten(2) if x.dim() > 2 else x[:, :, None]
        mean = places.mean(2)
        var = (places - mean[:, :, None]).square().mean(2)
        of_reference = mean[:n].mean(0)
        spread = (var[:n] + (mean[:n] - of_reference).square()).mean(0)
        # The variance of a mixture: of its parts, and of their means around the common one.
        share = 1 / (n + 1)
        step = share * (mean[n:] - of_reference)
        of_rows = of_reference + step
        var = share * (var[n:] + (mean[n:] - of_rows).square())
        var = var + (1 - share) * (spread + step.square())
        of_rows = torch.cat([of_reference.expand(n, -1), of_rows])
        scale = torch.rsqrt(torch.cat([spread.expand(n, -1), var]) + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        found = (places - of_rows[:, :, None]) * scale[:, :, None]
        if self.bias is not None:
            found = found + self.bias[:, None]
        return found.view_as(x)


def _replaced(module: nn.Module, make: Callable[[_BatchNorm], nn.Module]) -> nn.Module:
    """A copy of `module` with something else wherever it had batch norm."""
    module = copy.deepcopy(module)
    if isinstance(module, _BatchNorm):
        return make(module)
    for layer in list(module.modules()):
        for name, child in layer.named_children():
            if isinstance(child, _BatchNorm):
                setattr(layer, name, make(child))
    return module


def _n_groups(channels: int) -> int:
    """The most groups, up to eight, that leave each at least four channels."""
    return next((n for n in (8, 4, 2) if channels % (4 * n) == 0), 1)


def _group_norm(layer: _BatchNorm) -> nn.GroupNorm:
    channels = layer.num_features
    n_groups = 1 if isinstance(layer, nn.BatchNorm1d) else _n_groups(channels)
    twin = nn.GroupNorm(n_groups, channels, eps=layer.eps, affine=layer.affine)
    if layer.affine:
        twin.weight, twin.bias = layer.weight, layer.bias
    return twin.train(layer.training)
