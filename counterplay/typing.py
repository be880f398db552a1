"""Names for the shapes and containers that appear in signatures.

Sizes: `batch` instances in one move, `n` instances or rows, `d` features, `m` samples.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


Scalar = Float[Tensor, ""]
Weights = Float[Tensor, " batch"]  # one per instance; 1 is ordinary training
Index = Int[Tensor, " batch"]  # rows of the training set
Features = Float[Tensor, "n d"]
PerInstance = Float[Tensor, " n"]

Tensors = dict[str, Tensor]  # one network: name -> tensor
Params = Mapping[str, Tensors]  # player -> name -> tensor
Buffers = Mapping[str, Tensors]  # the same, for what the losses do not differentiate
Slots = dict[str, Tensor]  # one player's optimizer memory: "slot/name" -> tensor
Noise = Mapping[str, Tensor]  # one move's random numbers; "z" is the latent


@runtime_checkable
class FeatureMap(Protocol):
    """A frozen map from instances to rows of features.

    A classifier's has `logits` too, and one that was trained says on what: `trained_on`.
    """

    @property
    def name(self) -> str:
        """What it is called in the names of results, preprocessing included."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of everything that its features depend on, apart from the instances."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """The features of instances, one row each."""
        ...
