import pytest
import torch
from torch.nn import functional

from counterplay.errors import ConfigError
from counterplay.nets.activations import activation


@pytest.mark.parametrize(
    "name", ["elu", "gelu", "relu", "sigmoid", "silu", "softplus", "tanh"]
)
def test_a_name_is_the_function_of_that_name(name):
    x = torch.linspace(-2, 2, 9)
    torch.testing.assert_close(
        activation(name)(x), getattr(functional, name, torch.tanh)(x)
    )


def test_leaky_relu_has_the_usual_slope():
    assert activation("leaky_relu")(torch.tensor([-1.0, 1.0])).tolist() == pytest.approx(
        [-0.2, 1]
    )


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"no activation 'swish'; there are \['elu', .*'tanh'\]"
    ):
        activation("swish")
