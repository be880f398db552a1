"""Your own GAN, second case: SNGAN's residual networks, as in torch-mimicry.

The networks follow that library's description, narrower and for 16 x 16 pixels instead of
32 x 32: a generator of residual blocks with batch norm, ReLU and bilinear upsampling, a
discriminator of residual blocks with PyTorch's own spectral norm on every layer and a sum
over pixels, hinge losses, five moves of the discriminator for one of the generator, Adam
with a rate of 2e-4 and decays of 0 and 0.9. The discriminator has no batch norm to replace.

    python examples/own_sngan.py              # with a smooth loss and smooth activations
    python examples/own_sngan.py --published  # with hinge losses and ReLU

Source: Miyato, Kataoka, Koyama and Yoshida 2018, arXiv 1802.05957; Lee and Town 2020, arXiv
2005.02494.
Differs: the singular vectors move once per move of the discriminator, there at every call.
"""

import sys

import torch
from own_gan import digits, smooth
from torch import nn, Tensor
from torch.nn.utils.parametrizations import spectral_norm

import counterplay as cp


LATENT_DIM = 128


class GeneratorBlock(nn.Module):
    """Doubles the side of images."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.shortcut = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, width, h, w)` to `(n, width, 2 h, 2 w)`."""
        return self.layers(x) + self.shortcut(x)


class DiscriminatorBlock(nn.Module):
    """Halves the side of images, or keeps it."""

    def __init__(self, c_in: int, width: int, *, first: bool = False, halves: bool = False):
        super().__init__()
        pool = [nn.AvgPool2d(2)] if halves else []
        self.layers = nn.Sequential(
            *([] if first else [nn.ReLU()]),
            spectral_norm(nn.Conv2d(c_in, width, 3, padding=1)),
            nn.ReLU(),
            spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
            *pool,
        )
        self.shortcut = nn.Identity()
        if halves:
            self.shortcut = nn.Sequential(spectral_norm(nn.Conv2d(c_in, width, 1)), *pool)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, c_in, h, w)` to `(n, width, ...)`."""
        return self.layers(x) + self.shortcut(x)


class PixelSum(nn.Module):
    """The sum over all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, c, h, w)` to `(n, c)`."""
        return x.sum((2, 3))


def make_generator(width: int) -> nn.Sequential:
    """From latents, `(n, 128)`, to images of 16 x 16 in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(LATENT_DIM, width * 16),
        nn.Unflatten(1, (width, 4, 4)),
        GeneratorBlock(width),
        GeneratorBlock(width),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 1, 3, padding=1),
        nn.Tanh(),
    )


def make_discriminator(width: int) -> nn.Sequential:
    """From images to logits, `(n, 1)`."""
    return nn.Sequential(
        DiscriminatorBlock(1, width, first=True, halves=True),
        DiscriminatorBlock(width, width, halves=True),
        DiscriminatorBlock(width, width),
        DiscriminatorBlock(width, width),
        nn.ReLU(),
        PixelSum(),
        spectral_norm(nn.Linear(width, 1)),
    )


# --8<-- [start:game]
def sngan(generator: nn.Module, discriminator: nn.Module, *, published: bool) -> cp.Game:
    """The game `gan` with SNGAN's settings."""
    return cp.games.load("gan")(
        generator,
        discriminator,
        latent_dim=LATENT_DIM,
        loss="hinge" if published else "non_saturating",
        n_critic=5,
        lr_g=2e-4,
        lr_d=2e-4,
        betas=(0.0, 0.9),
        eps_root=0.0 if published else 1e-6,
    )


# --8<-- [end:game]


def main(
    *, published: bool = False, n_steps: int = 240, last: int = 24, instances: int = 20
) -> float:
    """Train, trace the last moves, check; return Kendall's tau of single removals."""
    torch.manual_seed(0)
    train, valid = digits()
    features = cp.features.classifier(valid)
    train, valid = train.to(dtype=torch.float64), valid.to(dtype=torch.float64)

    networks = make_generator(width=8).double(), make_discriminator(width=8).double()
    if not published:
        networks = smooth(networks[0]), smooth(networks[1])
    game = sngan(*networks, published=published)

    run = cp.play(game, train, n_steps=n_steps, batch_size=32)
    metric = cp.metrics.of_samples("frechet", game, features, reference=valid, n=512)
    influence = cp.trace(game, train, run, metric, adjoint=cp.Unroll(last=last))
    found = cp.verify(
        game, train, run, metric, influence, instances=instances, since=n_steps - last
    )
    print(found)
    return found.comparisons[-1].agreement()["kendall"].value


if __name__ == "__main__":
    main(published="--published" in sys.argv)
