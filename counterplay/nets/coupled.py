"""Networks of two domains that share what is common to them.

Source: Liu and Tuzel 2016, arXiv 1606.07536: generators share their first layers and
discriminators their last. The layers of its own that a domain has must be weak, such as one
convolution: a full matrix behind the shared layers can rewire them at will, and then the
domains' samples have nothing to do with each other.
"""

import torch
from torch import nn, Tensor


class CoupledGenerator(nn.Module):
    """Shared layers, then a head for each domain.

    Args:
        trunk: From latents to what the domains share.
        heads: From there to samples, one per domain.
    """

    def __init__(self, trunk: nn.Module, *heads: nn.Module):
        super().__init__()
        self.trunk, self.heads = trunk, nn.ModuleList(heads)

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """Samples of the same latents, one tensor per domain."""
        shared = self.trunk(z)
        return tuple(head(shared) for head in self.heads)


class CoupledDiscriminator(nn.Module):
    """A first layer for each of two domains, then shared ones.

    Args:
        first: Of domain 0.
        second: Of domain 1.
        top: The shared layers.
    """

    def __init__(self, first: nn.Module, second: nn.Module, top: nn.Module):
        super().__init__()
        self.first, self.second, self.top = first, second, top

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """The output for instances or samples, each of domain 0 or 1."""
        own, other = self.first(x), self.second(x)
        other_domain = domain.bool().view(-1, *(1,) * (own.dim() - 1))
        return self.top(torch.where(other_domain, other, own))


def coupled_generator(one: nn.Sequential, other: nn.Sequential) -> CoupledGenerator:
    """Two generators made one: the last layer with parameters stays each domain's own."""
    last = _parametrised(one)[-1]
    return CoupledGenerator(one[:last], one[last:], other[last:])


def coupled_discriminator(one: nn.Sequential, other: nn.Sequential) -> CoupledDiscriminator:
    """Two discriminators made one: the first layer with parameters stays each's own."""
    rest = _parametrised(one)[0] + 1
    return CoupledDiscriminator(one[:rest], other[:rest], one[rest:])


def _parametrised(network: nn.Sequential) -> list[int]:
    """The places of the layers that have parameters."""
    return [
        i for i, layer in enumerate(network) if next(layer.parameters(), None) is not None
    ]
