"""Claims of `game_claims.py` on images, which take minutes a seed."""

import math
from collections.abc import Iterator

import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn, Tensor

from counterplay import _rng, data, features, games, nets, optim, play
from counterplay.game import apply_of, Columns, Game
from counterplay.games import infomax_gan
from counterplay.metrics.frechet import frechet_distance
from counterplay.nets.coupled import CoupledDiscriminator, CoupledGenerator


Row = tuple[str, int, str, str]  # who played, the seed, what was found, the bar


# Digits and negatives of other digits: weak heads on shared layers make pairs of them.
def cogan(seeds: range) -> Iterator[Row]:
    train = data.digits().train
    x, y = train["x"], train["y"]
    domain = torch.arange(len(x)) % 2  # halves that share no instance
    unpaired = Columns(
        {"x": torch.where(domain.bool().view(-1, 1, 1, 1), -x, x), "y": domain},
        train.ids,
        kind="image",
    )
    classifier = KNeighborsClassifier(1).fit(x.flatten(1), y)
    for shared, bar in {True: "ratio at most .5", False: "at least .9"}.items():
        for seed in seeds:
            G, D = coupled(seed, shared=shared)
            game = games.load("cogan")(G, D, latent_dim=16, lr=1e-3)
            run = play(
                game, unpaired, n_steps=4_000, batch_size=128, seed=seed, every=4_000
            )
            noise = game.draw(1_000, _rng.generator(seed, "claims"), {})
            with torch.no_grad():
                one, other = apply_of("G", G).evaluated(run.final.view(), noise["z"])
            apart = (one + other).abs().mean() / (one + other.roll(1, 0)).abs().mean()
            classes = [classifier.predict(each.flatten(1)) for each in (one, -other)]
            alike = (classes[0] == classes[1]).mean()
            who = "shared" if shared else "unshared"
            yield who, seed, f"ratio {apart:.2f}, same digit {alike:.2f}", bar


def coupled(seed: int, *, shared: bool) -> tuple[nn.Module, nn.Module]:
    """Convolutional networks of 8 x 8 images that share all they can, or nothing."""
    with _rng.seeded(seed, "claims"):
        trunks = [
            nn.Sequential(
                nn.Linear(16, 32 * 16), nn.Unflatten(1, (32, 4, 4)),
                nn.BatchNorm2d(32), nn.ReLU(),
                nn.ConvTranspose2d(32, 32, 4, stride=2, padding=1),
                nn.BatchNorm2d(32), nn.ReLU(),
            )
            for _ in range(2)
        ]  # fmt: skip
        heads = [nn.Sequential(nn.Conv2d(32, 1, 3, padding=1), nn.Tanh()) for _ in range(2)]
        firsts = [nn.Conv2d(1, 16, 3, padding=1) for _ in range(2)]
        tops = [
            nn.Sequential(
                nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2), nn.Flatten(1), nn.Linear(32 * 16, 1), nn.Flatten(0),
            )
            for _ in range(2)
        ]  # fmt: skip
    if shared:
        return CoupledGenerator(trunks[0], *heads), CoupledDiscriminator(*firsts, tops[0])
    apart = [nn.Sequential(*parts) for parts in zip(trunks, heads, strict=True)]
    judges = [nn.Sequential(*parts) for parts in zip(firsts, tops, strict=True)]
    return (
        CoupledGenerator(nn.Identity(), *apart),
        CoupledDiscriminator(*judges, nn.Identity()),
    )


# Features learn to tell images apart, and so see images that are all the same.
def infomax(seeds: range) -> Iterator[Row]:
    splits, n, n_features = data.digits(size=16), 32, 64
    for seed in seeds:
        (D,) = nets.networks(
            "resnet", ["contrastive_discriminator"], (1, 16, 16),
            {"n_features": n_features}, width=32, seed=seed, activation="relu",
        )  # fmt: skip
        assert isinstance(D, nn.Module)
        game = contrast_alone(D)
        run = play(game, splits.train, n_steps=1_600, batch_size=n, seed=seed, every=1_600)
        chance = math.log((n - 1) * 64)
        x, network = splits.test["x"][:320], apply_of("D", D)
        batches = {
            "of different images": (x.split(n), f"at most {chance - 0.226:.2f}"),
            "of 3 images": ([part[:3].repeat(11, 1, 1, 1)[:n] for part in x.split(n)], "-"),
            "of one image": ([part[:1].repeat(n, 1, 1, 1) for part in x.split(n)],
                             f"at least {chance:.2f}"),
        }  # fmt: skip
        for who, (parts, bar) in batches.items():
            values = [contrast(network.evaluated(run.final.view(), part)) for part in parts]
            yield f"batch {who}", seed, f"{torch.stack(values).mean():.2f}", bar


def contrast(given: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The term of InfoMax-GAN, in nats."""
    _, places, whole = given
    ones = torch.ones(len(whole))
    return infomax_gan._contrast(places, whole, ones).mean().detach()


def contrast_alone(D: nn.Module) -> Game:
    """The discriminator's part of InfoMax-GAN without a generator."""
    network = apply_of("D", D)

    def loss(params, batch, noise, weights):
        del noise
        _, places, whole = network(params, batch["x"])
        return infomax_gan._contrast(places, whole, weights).mean()

    return Game(
        modules={"D": D},
        losses={"D": loss},
        optimizers={"D": optim.adam(2e-4, betas=(0.0, 0.9), eps_root=1e-8)},
        schedule=(("D",),),
        draw=lambda size, generator, params: {},
        couples_instances=True,
    )


# Self-attention against a twin without it, judged by a classifier of real digits.
def sagan(seeds: range) -> Iterator[Row]:
    train = data.digits(size=16).train
    for seed in seeds:
        judge = features.classifier(train, seed=seed)
        real = judge(train["x"])
        for attention in (True, False):
            factory = games.load("sagan")
            networks = nets.networks(
                "sagan", nets.roles_of(factory), (1, 16, 16),
                {"latent_dim": 64, "n_classes": 10}, width=16, seed=seed,
                activation="relu", attention=attention,
            )  # fmt: skip
            game = factory(
                *networks, n_classes=10, latent_dim=64, lr_g=2e-4, lr_d=8e-4,
                ema_halflife=100.0,
            )  # fmt: skip
            run = play(game, train, n_steps=2_400, batch_size=64, seed=seed, every=2_400)
            z = torch.randn(1_000, 64, generator=_rng.generator(seed, "claims"))
            y = torch.arange(1_000) % 10
            with torch.no_grad():
                fake = game.sample(run.final.view(averaged=True), {"z": z, "y": y})
                agreement = (judge.logits(fake).argmax(1) == y).double().mean()
                distance = frechet_distance(real, judge(fake))
            who = "with attention" if attention else "its twin without"
            bar = "agreement .60, distance at most 1.15 of the twin's" if attention else "-"
            found = f"agreement {agreement:.2f}, Frechet distance {distance:.2f}"
            yield who, seed, found, bar
