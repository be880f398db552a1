"""Fully connected networks."""

from itertools import pairwise

from torch import nn

from counterplay.nets.activations import activation as activation_named


def mlp(
    n_in: int,
    n_out: int | None,
    *,
    width: int = 64,
    depth: int = 2,
    activation: str = "tanh",
    bias: bool = True,
    glorot: bool = False,
    output: str | None = None,
) -> nn.Sequential:
    """Linear layers with a nonlinearity between them.

    The 2-D networks of Terashita et al. 2021 (arXiv 2101.08367) are
    `mlp(10, 2, width=32, activation="relu", bias=False, glorot=True)` and
    `mlp(2, None, width=64, activation="relu", bias=False, glorot=True)`.

    Args:
        n_in: Numbers per instance that come in.
        n_out: Numbers per instance that go out; None is a discriminator's single score,
            with shape `(batch,)` instead of `(batch, 1)`.
        width: Units of each hidden layer.
        depth: Hidden layers; 0 is a linear map.
        activation: Nonlinearity after each hidden layer.
        bias: Whether the linear layers have a bias.
        glorot: Draw the matrices as Glorot and Bengio 2010 (eq. 16) do and start biases at
            0, instead of PyTorch's default.
        output: Nonlinearity after the last layer, such as `"tanh"` for images in [-1, 1].

    Returns:
        The network, `(batch, n_in) -> (batch, n_out)`.

    Example:
        >>> mlp(2, None, depth=1, width=8)
        Sequential(
          (0): Linear(in_features=2, out_features=8, bias=True)
          (1): Tanh()
          (2): Linear(in_features=8, out_features=1, bias=True)
          (3): Flatten(start_dim=0, end_dim=-1)
        )
    """
    sizes = [n_in, *[width] * depth, 1 if n_out is None else n_out]
    linears = [nn.Linear(a, b, bias=bias) for a, b in pairwise(sizes)]
    if glorot:
        for linear in linears:
            _draw_glorot(linear)
    layers: list[nn.Module] = []
    for linear in linears[:-1]:
        layers += [linear, activation_named(activation)]
    layers.append(linears[-1])
    if output is not None:
        layers.append(activation_named(output))
    if n_out is None:
        layers.append(nn.Flatten(0))  # (batch, 1) -> (batch,)
    return nn.Sequential(*layers)


def _draw_glorot(linear: nn.Linear) -> None:
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
