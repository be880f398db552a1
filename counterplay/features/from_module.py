"""Features of any network."""

import re
from dataclasses import dataclass, field

from torch import nn, Tensor

from counterplay.errors import DataError
from counterplay.features import _frozen


@dataclass(frozen=True)
class ModuleFeatures:
    """The output of a frozen network.

    Attributes:
        name: What it is called in the names of results.
        n_features: Number of columns, if it was given.
        fingerprint: Hash of its weights.
        module: The network.
    """

    name: str
    n_features: int | None
    fingerprint: str
    module: nn.Module = field(repr=False)

    def __call__(self, x: Tensor) -> Tensor:
        """The features, one row per instance, differentiable in `x`.

        Raises:
            DataError: If there are other than `n_features` of them.
        """
        features = _frozen.rows(self.module, x)
        if self.n_features not in {None, features.shape[1]}:
            raise DataError(
                f"Feature map {self.name!r} has `n_features`={self.n_features}, but gives "
                f"{features.shape[1]} for instances of shape {tuple(x.shape[1:])}. Correct "
                "`n_features`, or give instances of the shape the network was made for."
            )
        return features


def from_module(
    module: nn.Module, name: str, *, n_features: int | None = None
) -> ModuleFeatures:
    """Use a network's output as features.

    Args:
        module: From instances to one row each; a frozen copy is kept, in evaluation mode.
        name: What the map is called in the names of results, such as `"lite0"`.
        n_features: Number of columns, checked at every call if given.

    Returns:
        The map.

    Raises:
        DataError: If the name is not made of letters, digits and underscores.
    """
    check_name(name)
    return ModuleFeatures(
        name, n_features, _frozen.fingerprint(module), _frozen.frozen(module)
    )


def check_name(name: str) -> None:
    """Refuse a name that would not fit into the name of a result.

    Raises:
        DataError: If it is not made of letters, digits and underscores.
    """
    if not re.fullmatch(r"\w+", name):
        raise DataError(
            f"A feature map cannot be called {name!r}: its name becomes part of the names "
            "of results and files. Use letters, digits and underscores."
        )
