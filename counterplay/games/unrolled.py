"""The unrolled GAN: the generator foresees how the discriminator will answer.

Players: G, the generator; D, the discriminator, with logits that are high for real.
Columns: x, what is generated.
Source: Metz et al. 2017, arXiv 1611.02163, eq. 7 to 10, and the authors' demonstration.
Differs: nothing but that Adam has an epsilon inside its root. The foreseen moves are those
that D would make with its own optimizer and memory on the batch and the samples at hand;
with plain gradient steps in their place the generator misses modes.
"""

import torch
from torch import nn

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def unrolled(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    latent_dim: int = 16,
    n_foreseen: int = 5,
    loss: losses.Family = "minimax",
    simultaneous: bool = True,
    lr_g: float = 1e-3,
    lr_d: float = 1e-3,
    betas: tuple[float, float] = (0.5, 0.999),
    eps_root: float = 1e-8,
) -> Game:
    """Play a generator that looks ahead against a discriminator that does not.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        discriminator: From samples or instances to one logit each, high for real.
        latent_dim: Size of the latent, which is standard normal.
        n_foreseen: Moves of D that G foresees, `k` in the paper; 0 is an ordinary GAN.
        loss: Family of losses; with `"minimax"` G minimises minus the loss of D.
        simultaneous: Whether both move at once, as in the demonstration. It matters as much
            as the foresight: an ordinary GAN that alternates covers the same toy.
        lr_g: Learning rate of G.
        lr_d: Learning rate of D.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.

    Returns:
        The game.

    Raises:
        GameError: If `n_foreseen` is negative.
    """
    if n_foreseen < 0:
        raise GameError(f"`n_foreseen` must be at least 0, got {n_foreseen!r}.")
    family = losses.adversarial(loss)
    G, D = apply_of("G", generator), apply_of("D", discriminator)
    like = next(generator.parameters())
    learnt = [name for name, each in discriminator.named_parameters() if each.requires_grad]
    rules = {
        player: optim.adam(lr, betas=betas, eps_root=eps_root)
        for player, lr in {"G": lr_g, "D": lr_d}.items()
    }

    def loss_d(params, batch, noise, weights):
        def score(x):
            return per_instance(D(params, x))

        real, fake = losses.scores(score, batch["x"], G(params, noise["z"]))
        return wmean(family.real(real), weights) + family.fake(fake).mean()

    def foreseen(params, batch, noise, weights):
        """D after its next moves, as a function of everybody's parameters."""
        slots = dict(params["D.slots"])
        count = int(slots.pop("updates"))
        future = {name: params["D"][name] for name in learnt}
        for further in range(n_foreseen):

            def ahead(future):
                after = {**params, "D": {**params["D"], **future}}
                return loss_d(after, batch, noise, weights)

            grads = torch.func.grad(ahead)(future)
            future, slots = rules["D"].update(grads, slots, future, 0, count + further)
        return {**params, "D": {**params["D"], **future}}

    def loss_g(params, batch, noise, weights):
        after = foreseen(params, batch, noise, weights)
        if loss == "minimax":
            return -loss_d(after, batch, noise, weights)
        return family.generator(per_instance(D(after, G(after, noise["z"])))).mean()

    def draw(size, generator, params):
        del params
        return {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}

    return Game(
        modules={"G": generator, "D": discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers=rules,
        schedule=(("D", "G"),) if simultaneous else (("D",), ("G",)),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        readers=("D", "G"),
        foresees=True,
    )
