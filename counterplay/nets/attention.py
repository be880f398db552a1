"""Self-attention between the pixels of an image."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import nn, Tensor


Images = Float[Tensor, "batch c h w"]


class SelfAttention(nn.Module):
    """A layer by which every pixel reads all others, added to what it had.

    A pixel's query meets the keys of others, `b = softmax(query . key)` over the keys, and
    `x + gamma out(sum b value)` is the result. `gamma` is learnt from 0, so the layer
    begins as the identity. Cost O(pixels of queries times pixels of keys).

    Source: Zhang, Goodfellow, Metaxas and Odena 2019, arXiv 1805.08318, section 3, and the
    authors' code. The paper puts spectral normalisation on its four convolutions, which
    `counterplay.nets.spectral_norm` does for all of a network.

    Args:
        channels: Channels of the image.
        variant: `"official"` is the authors' code: keys and values are the maxima of 2 x 2
            pixels, and values have half of the channels. `"paper"` has a key for each
            pixel, and values of an eighth of the channels, as queries and keys have.
    """

    def __init__(
        self, channels: int, *, variant: Literal["official", "paper"] = "official"
    ):
        super().__init__()
        few = max(1, channels // 8)
        wide = max(1, channels // 2) if variant == "official" else few
        self.query, self.key = _pointwise(channels, few), _pointwise(channels, few)
        self.value, self.out = _pointwise(channels, wide), _pointwise(wide, channels)
        self.pool = nn.MaxPool2d(2) if variant == "official" else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(()))

    def attention(self, x: Images) -> Float[Tensor, "batch queries keys"]:
        """How much each pixel reads of each key; rows sum to 1."""
        query, key = self.query(x).flatten(2), self.pool(self.key(x)).flatten(2)
        return (query.mT @ key).softmax(-1)

    def forward(self, x: Images) -> Images:
        """The image and what its pixels have read, of the same shape."""
        value = self.pool(self.value(x)).flatten(2)
        read = value @ self.attention(x).mT  # (batch, c, keys) -> (batch, c, queries)
        return x + self.gamma * self.out(read.unflatten(2, x.shape[2:]))


def _pointwise(c_in: int, c_out: int) -> nn.Conv2d:
    layer = nn.Conv2d(c_in, c_out, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
