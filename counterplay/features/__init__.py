"""Feature maps: frozen, differentiable functions from instances to rows of features.

A map that is trained must not learn on the game's training data, nor on what a gain is
proven on: features that know an instance by heart make it look special. The validation
split is the place.
"""

from counterplay.features.classifier import (
    Classifier as Classifier,
    classifier as classifier,
    load as load,
)
from counterplay.features.from_module import (
    from_module as from_module,
    ModuleFeatures as ModuleFeatures,
)
from counterplay.features.identity import Identity as Identity, identity as identity
from counterplay.features.torchscript import torchscript as torchscript
