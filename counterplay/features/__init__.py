"""Feature maps: frozen functions from instances to rows of features.

A map that is trained must not learn on the game's training data, nor on what a gain is
proven on: features that know an instance by heart make it look special. The validation
split is the place. All maps but `onnx` are differentiable.
"""

from counterplay.features.autoencoder import (
    Autoencoder as Autoencoder,
    autoencoder as autoencoder,
)
from counterplay.features.cached import Cached as Cached, cached as cached
from counterplay.features.classifier import (
    Classifier as Classifier,
    classifier as classifier,
)
from counterplay.features.from_module import (
    from_module as from_module,
    ModuleFeatures as ModuleFeatures,
)
from counterplay.features.huggingface import huggingface as huggingface
from counterplay.features.identity import Identity as Identity, identity as identity
from counterplay.features.inception import Inception as Inception, inception as inception
from counterplay.features.onnx import onnx as onnx, OnnxFeatures as OnnxFeatures
from counterplay.features.preprocessed import (
    Preprocessed as Preprocessed,
    preprocessed as preprocessed,
)
from counterplay.features.saved import saved as saved
from counterplay.features.stacked_classifier import (
    stacked_classifier as stacked_classifier,
    StackedClassifier as StackedClassifier,
)
from counterplay.features.torchscript import torchscript as torchscript
