"""Networks for players: small, twice differentiable, without coupling between instances."""

from counterplay._layers import spectral_norm
from counterplay.nets import dcgan, gaal, resnet, sagan, stylegan2
from counterplay.nets.attention import SelfAttention
from counterplay.nets.families import names, networks, options_of
from counterplay.nets.linear_quadratic import linear_generator, quadratic_discriminator
from counterplay.nets.low_rank import low_rank
from counterplay.nets.minibatch import MinibatchDiscrimination, MinibatchDiscriminator
from counterplay.nets.mlp import mlp
from counterplay.nets.norms import virtual_batch_norm, without_batch_norm
from counterplay.nets.pairs import pair
from counterplay.nets.recurrent import lstm_discriminator, lstm_generator
from counterplay.nets.roles import roles_of, sizes_of


__all__ = [
    "MinibatchDiscrimination",
    "MinibatchDiscriminator",
    "SelfAttention",
    "dcgan",
    "gaal",
    "linear_generator",
    "low_rank",
    "lstm_discriminator",
    "lstm_generator",
    "mlp",
    "names",
    "networks",
    "options_of",
    "pair",
    "quadratic_discriminator",
    "resnet",
    "roles_of",
    "sagan",
    "sizes_of",
    "spectral_norm",
    "stylegan2",
    "virtual_batch_norm",
    "without_batch_norm",
]
