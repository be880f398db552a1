"""Normalisation that leaves the instances of a batch alone, and a way out of batch norm."""

import copy

from torch import nn

from counterplay.errors import ConfigError


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
    module = copy.deepcopy(module)
    if isinstance(module, _BatchNorm):
        return _group_norm(module)
    for layer in list(module.modules()):
        for name, child in layer.named_children():
            if isinstance(child, _BatchNorm):
                setattr(layer, name, _group_norm(child))
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
