"""Your own GAN: a DCGAN as PyTorch's tutorial describes it, as a game, traced and checked.

The networks are those of the tutorial, narrower and for 16 x 16 pixels instead of 64 x 64:
strided transposed convolutions with batch norm and ReLU against strided convolutions with
batch norm and LeakyReLU(0.2), weights from N(0, 0.02), binary cross-entropy, Adam with a
rate of 2e-4 and a first decay of 0.5. They know nothing of Counterplay.

    python examples/own_gan.py              # made smooth
    python examples/own_gan.py --published  # with the tutorial's kinks

Source: Radford, Metz and Chintala 2016, arXiv 1511.06434; Inkawhich, "DCGAN Tutorial",
docs.pytorch.org.
"""

import sys
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

import counterplay as cp
from counterplay.errors import GameError
from counterplay.losses import wmean


LATENT_DIM = 100


def make_generator(width: int) -> nn.Sequential:
    """From latents, `(n, 100, 1, 1)`, to images of 16 x 16 in [-1, 1]."""
    return nn.Sequential(
        nn.ConvTranspose2d(LATENT_DIM, 2 * width, 4, 1, 0, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    ).apply(initialise)


def make_discriminator(width: int) -> nn.Sequential:
    """From images to logits, `(n, 1, 1, 1)`; the loss takes their sigmoid."""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 4, 1, 0, bias=False),
    ).apply(initialise)


def initialise(layer: nn.Module) -> None:
    """Draw parameters as the tutorial does."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


# --8<-- [start:game]
def dcgan(generator: nn.Module, discriminator: nn.Module, *, eps_root: float) -> cp.Game:
    """Play binary cross-entropy with two networks of your own."""
    G, D = cp.apply_of("G", generator), cp.apply_of("D", discriminator)

    def loss_d(params, batch, noise, weights):
        real = functional.softplus(-D(params, batch["x"]).flatten())  # -log sigmoid
        fake = functional.softplus(D(params, G(params, noise["z"])).flatten())
        return wmean(real, weights) + fake.mean()

    def loss_g(params, batch, noise, weights):
        return functional.softplus(-D(params, G(params, noise["z"])).flatten()).mean()

    def draw(size, generator, params):
        shape = (size, LATENT_DIM, 1, 1)
        return {"z": torch.randn(shape, generator=generator, dtype=torch.float64)}

    adam = cp.optim.adam(2e-4, betas=(0.5, 0.999), eps_root=eps_root)
    return cp.Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": adam, "D": adam},
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
    )


# --8<-- [end:game]


def smooth(network: nn.Module) -> nn.Module:
    """The network with SiLU in place of every ReLU and LeakyReLU, which have kinks."""
    for layer in list(network.modules()):
        for name, child in layer.named_children():
            if isinstance(child, nn.ReLU | nn.LeakyReLU):
                setattr(layer, name, nn.SiLU())
    return network


def digits() -> tuple[cp.Columns, cp.Columns]:
    """Handwritten digits to learn from and to compare with, 16 x 16 pixels."""

    def enlarged(columns: cp.Columns) -> cp.Columns:
        x = functional.interpolate(columns["x"], scale_factor=2, mode="bilinear")
        return replace(columns, tensors={**columns.tensors, "x": x})

    data = cp.data.digits()
    return enlarged(data.train), enlarged(data.valid)


def main(
    *, published: bool = False, n_steps: int = 600, last: int = 40, instances: int = 40
) -> float:
    """Train, trace the last moves, check; return Kendall's tau of single removals."""
    torch.manual_seed(0)
    train, valid = digits()
    features = cp.features.classifier(valid)
    train, valid = train.to(dtype=torch.float64), valid.to(dtype=torch.float64)

    generator = make_generator(width=16).double()
    discriminator = make_discriminator(width=16).double()
    try:
        dcgan(generator, discriminator, eps_root=0.0)
    except GameError as refusal:
        print(f"As it is: {refusal}\n")
    discriminator = cp.nets.without_batch_norm(discriminator)
    if not published:
        generator, discriminator = smooth(generator), smooth(discriminator)
    game = dcgan(generator, discriminator, eps_root=0.0 if published else 1e-6)

    run = cp.play(game, train, n_steps=n_steps, batch_size=64)
    metric = cp.metrics.of_samples("frechet", game, features, reference=valid, n=512)
    influence = cp.trace(game, train, run, metric, adjoint=cp.Unroll(last=last))
    found = cp.verify(
        game, train, run, metric, influence, instances=instances, since=n_steps - last
    )
    print(found)
    return found.comparisons[-1].agreement()["kendall"].value


if __name__ == "__main__":
    main(published="--published" in sys.argv)
