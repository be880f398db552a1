"""Discriminators that see how alike the rows of a batch are.

Source: Salimans et al. 2016, arXiv 1606.03498, section 3.2.
Differs: distances are smooth, where the paper sums absolute differences, whose many kinks
carry curvature that no derivative sees: `sqrt(kernel_dim)` times the Euclidean distance is
the most that such a sum can be. The closeness to the other rows is averaged by their
weights, where the paper sums it, so that it means the same in batches of any size.
"""

import torch
from torch import nn, Tensor

from counterplay.typing import Weights


class MinibatchDiscrimination(nn.Module):
    """Features of each row, and per kernel how close it is to the other rows.

    With `M_b` the row's `kernel_dim` numbers under kernel `b`, the closeness of two rows is
    `exp(1 - sqrt(1 + kernel_dim |M_b - M_b'|^2))`, and that of a row its mean over the
    others by their weights: a row of weight 0 is seen by no other.

    Args:
        n_features: Numbers of a row.
        n_kernels: Numbers that are added to it.
        kernel_dim: Numbers in which a kernel compares rows.

    Example:
        >>> layer = MinibatchDiscrimination(3, n_kernels=2)
        >>> layer(torch.zeros(4, 3), torch.ones(4))[0].tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0]
    """

    def __init__(self, n_features: int, *, n_kernels: int = 16, kernel_dim: int = 8):
        super().__init__()
        self.n_kernels, self.kernel_dim = n_kernels, kernel_dim
        self.kernels = nn.Linear(n_features, n_kernels * kernel_dim, bias=False)

    def forward(self, features: Tensor, weights: Weights) -> Tensor:
        """`(n, n_features)` becomes `(n, n_features + n_kernels)`."""
        n = len(features)
        places = self.kernels(features).view(n, self.n_kernels, self.kernel_dim)
        places = places.transpose(0, 1)
        products = places @ places.mT  # (n_kernels, n, n)
        squares = products.diagonal(dim1=1, dim2=2)
        apart = squares[:, :, None] + squares[:, None] - 2 * products
        close = (1 - (1 + self.kernel_dim * apart.clamp_min(0)).sqrt()).exp()
        counts = weights * (1 - torch.eye(n).to(weights))  # of column j for row i
        totals = counts.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        means = torch.einsum("ij,bij->ib", counts / totals, close)
        return torch.cat([features, means], 1)


class MinibatchDiscriminator(nn.Module):
    """A discriminator of rows and their weights, which compares the rows.

    Args:
        body: From rows to features, `(n, n_features)`.
        n_features: Numbers of a row of features.
        n_kernels: As in `MinibatchDiscrimination`.
        kernel_dim: Likewise.
    """

    def __init__(
        self, body: nn.Module, n_features: int, *, n_kernels: int = 16, kernel_dim: int = 8
    ):
        super().__init__()
        self.body = body
        self.compared = MinibatchDiscrimination(
            n_features, n_kernels=n_kernels, kernel_dim=kernel_dim
        )
        self.head = nn.Linear(n_features + n_kernels, 1)

    def forward(self, x: Tensor, weights: Weights) -> Tensor:
        """One logit per row."""
        return self.head(self.compared(self.body(x), weights)).flatten()


def minibatch_discriminator(network: nn.Sequential) -> MinibatchDiscriminator:
    """A discriminator that also compares what its last linear layer reads.

    Args:
        network: One of `counterplay.nets.dcgan`, `resnet` or `mlp`.

    Returns:
        The network, which shares all but the last layer with the one given.
    """
    linears = [i for i, layer in enumerate(network) if isinstance(layer, nn.Linear)]
    score = network[linears[-1]]
    assert isinstance(score, nn.Linear)
    return MinibatchDiscriminator(network[: linears[-1]], score.in_features)
