"""The bidirectional GAN: an encoder learns to invert the generator.

Players: G, the generator and the encoder together; D, the discriminator of pairs of an
instance and a latent, with logits that are high for an instance and its encoding.
Columns: x, what is generated.
Source: Donahue, Krähenbühl and Darrell 2017, arXiv 1605.09782, section 3.
Differs: players alternate by default, as the authors' code does but for one move of D each;
`simultaneous=True` moves both at once, as it does then. Adam has an epsilon inside its
root, which smooths its step.
"""

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def bigan(
    generator: nn.Module,
    encoder: nn.Module,
    joint_discriminator: nn.Module,
    *,
    latent_dim: int = 50,
    simultaneous: bool = False,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
    weight_decay: float = 2.5e-5,
) -> Game:
    """Play a generator and an encoder against a discriminator of pairs.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        encoder: From instances to latents; end it in tanh to stay where latents are.
        joint_discriminator: From instances and latents to one logit per pair.
        latent_dim: Size of the latent, which is uniform on [-1, 1].
        simultaneous: Whether both players move at once.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        weight_decay: L2 decay of both players' parameters.

    Returns:
        The game.
    """
    value = losses.adversarial("non_saturating")
    team = nn.ModuleDict({"generator": generator, "encoder": encoder})
    G = apply_of("G", generator, part="generator")
    E = apply_of("G", encoder, part="encoder")
    D = apply_of("D", joint_discriminator)
    like = next(generator.parameters())

    def scores(params, batch, noise):
        """The logits of instances with their codes, and of samples with their latents."""
        real = D(params, batch["x"], E(params, batch["x"]))
        fake = D(params, G(params, noise["z"]), noise["z"])
        return per_instance(real), per_instance(fake)

    def loss_d(params, batch, noise, weights):
        real, fake = scores(params, batch, noise)
        return (wmean(value.real(real), weights) + value.fake(fake).mean()) / 2

    def loss_g(params, batch, noise, weights):
        real, fake = scores(params, batch, noise)
        return (wmean(value.fake(real), weights) + value.real(fake).mean()) / 2

    def draw(size, generator, params):
        del params
        uniform = torch.rand(size, latent_dim, generator=generator, dtype=like.dtype)
        return {"z": 2 * uniform - 1}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root, weight_decay=weight_decay)
    return Game(
        modules={"G": team, "D": joint_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D", "G"),) if simultaneous else (("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        reconstruct=lambda params, x: G.evaluated(params, E.evaluated(params, x)),
        readers=("D", "G"),
    )
