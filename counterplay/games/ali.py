"""Adversarially learned inference: an encoder of distributions and a generator, one joint.

Players: G, the generator and the encoder together; D, the discriminator of pairs of an
instance and a latent, with logits that are high for an instance and its encoding.
Columns: x, what is generated.
Source: Dumoulin et al. 2017, arXiv 1606.00704, algorithm 1; the authors' code.
Differs: Adam has an epsilon inside its root, which smooths its step. Both players move at
once, as in the authors' code.
"""

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def ali(
    generator: nn.Module,
    gaussian_encoder: nn.Module,
    joint_discriminator: nn.Module,
    *,
    latent_dim: int = 64,
    simultaneous: bool = True,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
) -> Game:
    """Play a generator and an encoder against a discriminator of pairs.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        gaussian_encoder: From instances to the means and the logarithms of the standard
            deviations of their latents, `2 * latent_dim` numbers.
        joint_discriminator: From instances and latents to one logit per pair.
        latent_dim: Size of the latent, which is standard normal.
        simultaneous: Whether both players move at once; otherwise D moves first.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.

    Returns:
        The game.
    """
    value = losses.adversarial("non_saturating")
    team = nn.ModuleDict({"generator": generator, "encoder": gaussian_encoder})
    G = apply_of("G", generator, part="generator")
    E = apply_of("G", gaussian_encoder, part="encoder")
    D = apply_of("D", joint_discriminator)
    like = next(generator.parameters())

    def scores(params, batch, noise):
        """The logits of instances with drawn codes, and of samples with their latents."""
        mean, log_std = E(params, batch["x"]).chunk(2, 1)
        codes = mean + log_std.exp() * noise["code"]
        real = D(params, batch["x"], codes)
        fake = D(params, G(params, noise["z"]), noise["z"])
        return per_instance(real), per_instance(fake)

    def loss_d(params, batch, noise, weights):
        real, fake = scores(params, batch, noise)
        return wmean(value.real(real), weights) + value.fake(fake).mean()

    def loss_g(params, batch, noise, weights):
        real, fake = scores(params, batch, noise)
        return wmean(value.fake(real), weights) + value.real(fake).mean()

    def draw(size, generator, params):
        del params
        return {
            name: torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)
            for name in ("z", "code")
        }

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": team, "D": joint_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D", "G"),) if simultaneous else (("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        reconstruct=lambda params, x: G.evaluated(
            params, E.evaluated(params, x)[:, :latent_dim]
        ),
        readers=("D", "G"),
    )
