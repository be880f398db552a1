"""Networks for players: small, twice differentiable, without coupling between instances."""

from counterplay._layers import spectral_norm
from counterplay.nets import dcgan, resnet
from counterplay.nets.linear_quadratic import linear_generator, quadratic_discriminator
from counterplay.nets.mlp import mlp
from counterplay.nets.norms import without_batch_norm
from counterplay.nets.pairs import names, options_of, pair


__all__ = [
    "dcgan",
    "linear_generator",
    "mlp",
    "names",
    "options_of",
    "pair",
    "quadratic_discriminator",
    "resnet",
    "spectral_norm",
    "without_batch_norm",
]
