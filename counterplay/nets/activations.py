"""Nonlinearities by name. None works in place, so that networks have second derivatives.

The smooth ones suit influence: the kinks of `relu` and `leaky_relu` make the effect of a
single instance jump.
"""

from functools import partial

from torch import nn

from counterplay.errors import ConfigError


_MAKERS = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """A fresh layer for the nonlinearity called `name`; `leaky_relu` has slope 0.2.

    Raises:
        ConfigError: If there is no such nonlinearity.

    Example:
        >>> activation("tanh")
        Tanh()
    """
    if name not in _MAKERS:
        raise ConfigError(f"There is no activation {name!r}; there are {sorted(_MAKERS)}.")
    return _MAKERS[name]()
