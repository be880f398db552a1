"""Discriminators whose features of parts and of the whole can be compared.

Source: Lee, Tran and Cheung 2021, arXiv 2007.04589, and the authors' code.
Differs: nonlinearities are smooth unless told otherwise, because influence needs second
derivatives; the authors' code, whose ReLU works in place, also rectifies what shortcuts and
critics read. In a stack of strided convolutions the parts are the places before the last
one; in fully connected layers the first hidden layer is the only part.
"""

from torch import nn, Tensor

from counterplay._layers import spectral_norm
from counterplay.nets.activations import activation as activation_named
from counterplay.nets.resnet import PixelSum, Residual


class Contrastive(nn.Module):
    """A discriminator in three stages, and critics of what the first two give.

    Args:
        trunk: From instances to features of places, `(n, c_local, ...)`.
        rest: From there to features of the whole, `(n, c_whole)`.
        head: From there to logits, `(n,)`.
        channels: `c_local` and `c_whole`.
        n_features: Numbers in which both are compared.
        activation: Nonlinearity of the critics.
    """

    def __init__(
        self,
        trunk: nn.Module,
        rest: nn.Module,
        head: nn.Module,
        channels: tuple[int, int],
        *,
        n_features: int,
        activation: str,
    ):
        super().__init__()
        self.trunk, self.rest, self.head = trunk, rest, head
        self.of_places, self.of_whole = (
            critic(c, n_features, activation=activation) for c in channels
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, features of places `(n, places, n_features)` and of the whole."""
        local = self.trunk(x)
        whole = self.rest(local)
        places = local.reshape(*local.shape[:2], -1).mT
        return self.head(whole), self.of_places(places), self.of_whole(whole)


def critic(channels: int, n_features: int, *, activation: str) -> Residual:
    """A hidden layer beside a shortcut, `(..., channels) -> (..., n_features)`."""
    hidden = nn.Linear(channels, channels), activation_named(activation)
    network = Residual(
        nn.Sequential(*hidden, nn.Linear(channels, n_features)),
        nn.Linear(channels, n_features),
    )
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return network


def contrastive(
    network: nn.Sequential, *, n_features: int, activation: str, spectral: bool = False
) -> Contrastive:
    """A discriminator cut before its last stage and before its logit.

    Args:
        network: One of `counterplay.nets.dcgan`, `resnet` or `mlp`, of at least two hidden
            layers and without spectral normalisation.
        n_features: Numbers in which places and the whole are compared.
        activation: Nonlinearity of the critics.
        spectral: Put spectral normalisation on every layer, of the critics too.

    Returns:
        The network, which shares its layers with the one given.
    """
    linears = [i for i, layer in enumerate(network) if isinstance(layer, nn.Linear)]
    stages = [
        i for i, layer in enumerate(network) if isinstance(layer, (nn.Conv2d, Residual))
    ]
    end = linears[-1]
    head, score = network[end:], network[end]
    assert isinstance(score, nn.Linear)
    c_whole = score.in_features
    if stages and isinstance(stage := network[stages[-1]], nn.Conv2d):
        cut, c_local, c_whole = stages[-1], stage.in_channels, stage.out_channels
        head = nn.Sequential(nn.Linear(c_whole, 1), nn.Flatten(0))
        rest = nn.Sequential(network[cut : end - 1], PixelSum())  # instead of flattening
    else:
        cut, c_local = stages[-1] if stages else linears[1], c_whole
        rest = network[cut:end]
    found = Contrastive(
        network[:cut], rest, head, (c_local, c_whole),
        n_features=n_features, activation=activation,
    )  # fmt: skip
    if spectral:
        spectral_norm(found)
    return found
