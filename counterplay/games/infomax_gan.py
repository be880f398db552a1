"""InfoMax-GAN: features of the whole must recognise the places of their own image.

Players: G, the generator; D, the discriminator, with a logit that is high for real,
features of places and features of the whole.
Columns: x, what is generated.
Source: Lee, Tran and Cheung 2021, arXiv 2007.04589, and the authors' code.
Differs: the other images of a batch are the only negatives, where the authors' code keeps
the other places of the same image with a logit of -10; no decay of the learning rate; an
epsilon inside Adam's root. Instances of a batch are each other's negatives, so the game
couples them: an instance counts by its weight both where it is recognised and where others
are told from it.
"""

import torch
from torch import nn, Tensor

from counterplay import losses, optim
from counterplay.errors import GameError
from counterplay.game import apply_of, Game
from counterplay.losses import per_instance, wmean


def infomax_gan(
    generator: nn.Module,
    contrastive_discriminator: nn.Module,
    *,
    latent_dim: int = 128,
    n_features: int = 1024,
    weight_g: float = 0.2,
    weight_d: float = 0.2,
    loss: losses.Family = "hinge",
    n_critic: int = 5,
    lr: float = 2e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    eps_root: float = 1e-8,
    ema_halflife: float | None = None,
) -> Game:
    """Play a generator against a discriminator that tells instances from each other.

    Args:
        generator: From latents, shape `(n, latent_dim)`, to samples.
        contrastive_discriminator: From samples or instances to logits, high for real,
            features of places, `(n, places, n_features)`, and features of the whole,
            `(n, n_features)`.
        latent_dim: Size of the latent, which is standard normal.
        n_features: Numbers in which places and the whole are compared, `R` in the paper.
        weight_g: Factor of the contrast between samples in G's loss, `alpha` in the paper.
        weight_d: Factor of the contrast between instances in D's loss, `beta`.
        loss: Family of losses of the logit.
        n_critic: Moves of D for each move of G.
        lr: Learning rate of both players.
        betas: Decay rates of Adam's two moments.
        eps_root: Added inside Adam's root.
        ema_halflife: Half-life of G's moving average in moves of G, or none.

    Returns:
        The game.

    Raises:
        GameError: If a number makes no sense.
    """
    if n_features < 1 or n_critic < 1 or min(weight_g, weight_d) < 0:
        raise GameError(
            "`n_features` and `n_critic` must be at least 1 and the weights at least 0, "
            f"got {n_features!r}, {n_critic!r}, {weight_g!r} and {weight_d!r}."
        )
    family = losses.adversarial(loss)
    G, D = apply_of("G", generator), apply_of("D", contrastive_discriminator)
    like = next(generator.parameters())

    def judged(params, x):
        logits, places, whole = D(params, x)
        if places.shape[2] != n_features or whole.shape[1] != n_features:
            raise GameError(
                "The discriminator gives features of places of shape "
                f"{tuple(places.shape)} and of the whole of shape {tuple(whole.shape)}; "
                f"both must end in n_features={n_features}."
            )
        return per_instance(logits), places, whole

    def loss_d(params, batch, noise, weights):
        n = len(batch)
        logits, places, whole = judged(
            params, torch.cat([batch["x"], G(params, noise["z"])])
        )
        contrast = _contrast(places[:n], whole[:n], weights)
        of_real = family.real(logits[:n]) + weight_d * contrast
        return wmean(of_real, weights) + family.fake(logits[n:]).mean()

    def loss_g(params, batch, noise, weights):
        del batch, weights
        logits, places, whole = judged(params, G(params, noise["z"]))
        contrast = _contrast(places, whole, torch.ones_like(logits))
        return (family.generator(logits) + weight_g * contrast).mean()

    def draw(size, generator, params):
        del params
        return {"z": torch.randn(size, latent_dim, generator=generator, dtype=like.dtype)}

    rule = optim.adam(lr, betas=betas, eps_root=eps_root)
    return Game(
        modules={"G": generator, "D": contrastive_discriminator},
        losses={"G": loss_g, "D": loss_d},
        optimizers={"G": rule, "D": rule},
        schedule=(("D",),) * n_critic + (("G",),),
        draw=draw,
        sample=lambda params, noise: G.evaluated(params, noise["z"]),
        averages={} if ema_halflife is None else {"G": ema_halflife},
        couples_instances=True,  # as negatives of each other, by their weights
    )


def _contrast(places: Tensor, whole: Tensor, weights: Tensor) -> Tensor:
    """Per image, the mean over its places of `-log` of the chance that each is its own.

    The chance is that of one place of its own against all places of the others, each
    counted by the weight of its image, under a softmax of inner products.
    """
    n = len(whole)
    scores = torch.einsum("ir,jpr->ijp", whole, places)
    own = scores.diagonal().mT  # (n, places)
    counts = weights.expand(n, n) * (1 - torch.eye(n).to(weights))
    # Shifts that cancel. What counts nothing is not among them, so it must not overflow.
    largest = scores.detach().amax(2).masked_fill(counts == 0, -torch.inf).amax(1)
    sums = (scores - largest[:, None, None]).clamp(max=30).exp().sum(2)
    others, largest = (counts * sums).sum(1)[:, None], largest[:, None]
    shift = torch.maximum(own.detach(), largest)
    total = (own - shift).exp() + (largest - shift).exp() * others
    return (total.log() - (own - shift)).mean(1)
