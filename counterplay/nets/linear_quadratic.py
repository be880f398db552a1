"""The linear-quadratic GAN: a game of Gaussians in which everything has a closed form.

Source: Nagarajan and Kolter 2017 (arXiv 1706.04156), the linear-quadratic Wasserstein
GAN; used for influence by Terashita, Ohashi and Hara 2025 (arXiv 2504.00603).
"""

import torch
from jaxtyping import Float
from torch import nn, Tensor


class QuadraticForm(nn.Module):
    """`D(x) = x^T W x + b^T x + c`, one number per instance.

    Attributes:
        matrix: `W`, shape `(d, d)`; only its symmetric part matters.
        linear: `b`, shape `(d,)`.
        constant: `c`, or None.
    """

    def __init__(self, d: int, *, constant: bool, std: float):
        super().__init__()
        self.matrix = nn.Parameter(std * torch.randn(d, d))
        self.linear = nn.Parameter(std * torch.randn(d))
        self.constant = nn.Parameter(torch.zeros(())) if constant else None

    def forward(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
        """Evaluate the form."""
        value = ((x @ self.matrix) * x).sum(-1) + x @ self.linear
        return value if self.constant is None else value + self.constant


def linear_generator(latent_dim: int, d: int, *, bias: bool = True) -> nn.Linear:
    """`G(z) = A z + b`, which turns normal noise into any normal distribution.

    Args:
        latent_dim: Numbers in `z`; below `d` the fakes lie in a subspace.
        d: Numbers per instance.
        bias: Whether there is a `b`.
    """
    return nn.Linear(latent_dim, d, bias=bias)


def quadratic_discriminator(
    d: int, *, constant: bool = False, std: float = 0.1
) -> QuadraticForm:
    """`D(x) = x^T W x + b^T x`, which sees the first two moments and nothing else.

    Args:
        d: Numbers per instance.
        constant: Add a trained `c`. It cancels in Wasserstein losses, not in logistic ones.
        std: Standard deviation of the first entries of `W` and `b`; `c` starts at 0.

    Returns:
        The network, `(batch, d) -> (batch,)`.
    """
    return QuadraticForm(d, constant=constant, std=std)
