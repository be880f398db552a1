"""The coupled GAN: two domains from the same latents, learnt without a single pair.

Players: G, the generator, from latents to a sample of each domain; D, the discriminator of
instances or samples and their domain, with logits that are high for real.
Columns: x, what is generated; y, the domain of an instance, 0 or 1.
Source: Liu and Tuzel 2016, arXiv 1606.07536.
Differs: the domains' instances come in one batch, in which each domain counts as much as
the other; no decay of the parameters; Adam's epsilon inside its root.
"""

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def cogan(
    coupled_generator: nn.Module,
    coupled_discriminator: nn.Module,
    *,
    latent_dim: int = 100,
    n_classes: int = 2,
    domain: int = 0,
    loss: losses.Family = "non_saturating",
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator of two domains against a discriminator of both.

    Args:
        coupled_generator: From latents, shape `(n, latent_dim)`, to samples of domain 0 and
            of domain 1, which are shaped alike. What corresponds in them is what its shared
            layers decide, so those of one domain must be weak.
        coupled_discriminator: From samples or instances and their domains to one logit
            each, high for real.
        latent_dim: Size of the latent, which is standard normal.
        n_classes: Number of domains, 2.
        domain: The domain of which the game's samples are.
        loss: Family of losses.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If there are other domains.
    """
    if n_classes != 2 or domain not in (0, 1):
        raise GameError(
            "`n_classes` must be 2, since column 'y' tells one domain from another, and "
            f"`domain` 0 or 1, got {n_classes!r} and {domain!r}."
        )
    family = losses.adversarial(loss)
    G = apply_of("G", coupled_generator)
    D = apply_of("D", coupled_discriminator)
    like = next(coupled_generator.parameters())

    def fakes(params, noise):
        """Samples of both domains, one after the other, and their domains."""
        both = torch.cat(G(params, noise["z"]))
        return both, torch.arange(2, device=both.device).repeat_interleave(len(both) // 2)

    def loss_d(params, batch, noise, weights):
        domains, (x, y) = batch["y"], fakes(params, noise)
        logits = D(params, torch.cat([batch["x"], x]), torch.cat([domains, y]))
        real, fake = per_instance(logits).split([len(batch), len(x)])
        n_alike = (domains[:, None] == domains).sum(1)
        of_real = family.real(real) * (len(batch) / n_alike)  # a mean over each domain
        return wmean(of_real, weights) + 2 * family.fake(fake).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        return 2 * family.generator(per_instance(D(params, *fakes(params, noise)))).mean()

    def draw(size, generator, params):
        del params
        return {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": coupled_generator, "D": coupled_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"])[domain],
        labels="all",
        averages={} if ema_halflife is None else {"G": ema_halflife},
    )
