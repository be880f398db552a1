"""Features of any network."""

from dataclasses import dataclass, field

from torch import nn, Tensor

from counterplay.features import _frozen
from counterplay.features._map import check_name, check_rows, identified


@dataclass(frozen=True)
class ModuleFeatures:
    """The output of a frozen network.

    Attributes:
        name: What it is called in the names of results.
        n_features: Number of columns, if it was given.
        fingerprint: Hash of what gives the features.
        module: The network.
    """

    name: str
    n_features: int | None
    fingerprint: str
    module: nn.Module = field(repr=False)

    def __call__(self, x: Tensor) -> Tensor:
        """The features, one row per instance, differentiable in `x`."""
        features = _frozen.rows(self.module, x)
        return check_rows(self.name, features, x, self.n_features)


def from_module(
    module: nn.Module, name: str, *, n_features: int | None = None
) -> ModuleFeatures:
    """Use a network's output as features.

    Args:
        module: From instances to one row each; a frozen copy is kept, in evaluation mode.
        name: What the map is called in the names of results, such as `"lite0"`.
        n_features: Number of columns, checked at every call if given.

    Returns:
        The map; its fingerprint is that of the weights and of the layers' description.
    """
    check_name(name)
    fingerprint = identified(_frozen.fingerprint(module), repr(module))
    return ModuleFeatures(name, n_features, fingerprint, _frozen.frozen(module))
