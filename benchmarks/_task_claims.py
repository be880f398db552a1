"""Claims of `game_claims.py` on turned data, and on data with few labels."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn, Tensor
from torch.nn.functional import cross_entropy

from counterplay import _rng, augment, data, games, nets, optim, play
from counterplay.game import Columns
from counterplay.metrics import of_classifier
from counterplay.nets import mlp


Row = tuple[str, int, str, str]  # who played, the seed, what was found, the bar
MODES = torch.cartesian_prod(*[torch.tensor([0.5, 1.25, 2.0])] * 2)


def columns(x: Tensor, kind: str, **others: Tensor) -> Columns:
    return Columns({"x": x, **others}, tuple(map(str, range(len(x)))), kind=kind)


# Turned data leaks into samples if only instances are turned; a head per turn keeps it out.
def dag(seeds: range) -> Iterator[Row]:
    bars = {
        "instances turned": "leak at least .60",
        "dag": "leak at most .02, near a mode at least .30",
        "as they are": "shown beside",
    }
    for who, bar in bars.items():
        for seed in seeds:
            generator = _rng.generator(seed, "leak")
            mode = torch.randint(9, (6_000,), generator=generator)
            x = MODES[mode] + 0.05 * torch.randn(6_000, 2, generator=generator)
            n_out = 5 if who == "dag" else None
            with _rng.seeded(seed, "claims"):
                G = mlp(8, 2, width=64, activation="leaky_relu")
                D = mlp(2, n_out, width=64, activation="leaky_relu")
            rate = {"betas": (0.5, 0.9)}
            if who == "dag":
                game = games.load("dag")(G, D, latent_dim=8, lr=5e-4, **rate)
            else:
                game = games.load("gan")(
                    G, D, latent_dim=8, loss="non_saturating", lr_g=5e-4, lr_d=5e-4, **rate
                )
            if who == "instances turned":
                x = torch.cat([augment.turned(x, k) for k in range(4)])
            run = play(game, columns(x, "point"), n_steps=6_000, batch_size=256, seed=seed,
                       every=6_000)  # fmt: skip
            noise = game.draw(9_000, _rng.generator(1, "claims"), {})
            with torch.no_grad():
                fake = game.sample(run.final.view(), noise)
            leak = float((fake < 0).any(1).double().mean())
            near = float((torch.cdist(fake, MODES).amin(1) < 0.2).double().mean())
            yield who, seed, f"leak {leak:.3f}, near a mode {near:.2f}", bar


class Frozen(nn.Module):
    """A generator that draws from given images, with a little noise."""

    def __init__(self, images: Tensor, noise: float = 0.0):
        super().__init__()
        self.register_buffer("images", images)
        self.noise = noise
        self.shift = nn.Parameter(torch.zeros(()))  # a player needs a parameter

    def forward(self, z: Tensor) -> Tensor:
        """One image per latent: its first number says which."""
        which = (torch.special.ndtr(z[:, 0]) * len(self.images)).long()
        which = which.clamp(max=len(self.images) - 1)
        return self.images[which] + self.noise * z.view(-1, 1, 14, 14) + self.shift


# One image that is easy to orient pleases the task of turns, unless samples are a class.
def msgan(seeds: range) -> Iterator[Row]:
    splits = data.digits(size=14)
    train, valid, test = (
        part.select(torch.isin(part["y"], torch.tensor([3, 4, 7])).nonzero().squeeze(1))
        for part in (splits.train, splits.valid, splits.test)
    )
    for seed in seeds:
        perfect = Frozen(valid["x"])
        found = {("ssgan", "perfect"): judged("ssgan", train, perfect, seed)}
        each = per_image(found["ssgan", "perfect"], test["x"])
        easiest = Frozen(test["x"][each.argmin()][None], noise=0.02)
        found["ssgan", "collapsed"] = judged("ssgan", train, easiest, seed)
        found["msgan", "perfect"] = judged("msgan", train, perfect, seed)
        found["msgan", "collapsed"] = judged("msgan", train, easiest, seed)
        loss = {}
        for key, D in found.items():
            G = perfect if key[1] == "perfect" else easiest
            z = torch.randn(400, 196, generator=_rng.generator(seed, "judge"))
            with torch.no_grad():
                loss[key] = [float(per_image(D, x).mean()) for x in (G(z), test["x"])]
        for name in ("ssgan", "msgan"):
            text = "; ".join(
                f"{how}: samples {loss[name, how][0]:.3f}, real {loss[name, how][1]:.3f}, "
                f"apart {abs(loss[name, how][0] - loss[name, how][1]):.3f}"
                for how in ("collapsed", "perfect")
            )
            bar = {
                "ssgan": "of samples: collapsed below perfect",
                "msgan": "apart: collapsed at least 2, perfect at most .1",
            }
            yield name, seed, text, bar[name]


def judged(name: str, train: Columns, G: nn.Module, seed: int) -> nn.Module:
    """The task's discriminator after 250 moves of its own against a generator at rest."""
    n_tasks = 4 if name == "ssgan" else 5
    with _rng.seeded(seed, "claims"):
        D = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 1 + n_tasks),
        )  # fmt: skip
    game = games.load(name)(G, D, latent_dim=196, weight_d=1.0, lr=1e-3, betas=(0.9, 0.999))
    game = replace(game, optimizers={**game.optimizers, "G": optim.sgd(0.0)})
    run = play(game, train, n_steps=500, batch_size=128, seed=seed, every=500)
    D.load_state_dict(run.final.view()["D"])
    return D


def per_image(D: nn.Module, x: Tensor) -> Tensor:
    """The mean cross-entropy of an image's four quarter turns."""
    with torch.no_grad():
        parts = [
            cross_entropy(
                D(augment.turned(x, k))[:, 1:], torch.full((len(x),), k), reduction="none"
            )
            for k in range(4)
        ]
    return torch.stack(parts).mean(0)


# Digits with few labels: the game against the same classifier without it.
def few_labels(seeds: range) -> Iterator[Row]:
    splits = data.digits()
    for seed in seeds:
        for n in (50, 100):
            train = data.partly_labelled(splits.train, n, seed=seed)
            found = [errors(splits.test, train, n, weight, seed) for weight in (0.0, 1.0)]
            text = f"{found[0]:.3f} without, {found[1]:.3f} with the game"
            yield f"error, {n} labels", seed, text, "mean lower with it"


def errors(test: Columns, train: Columns, n: int, weight: float, seed: int) -> float:
    """The share of test digits that the average of a classifier gets wrong."""
    with _rng.seeded(seed, "claims"):
        G = nn.Sequential(
            *mlp(100, 64, width=256, activation="softplus", output="tanh"),
            nn.Unflatten(1, (1, 8, 8)),
        )
        body = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.2),
            nn.Linear(64, 256), nn.LeakyReLU(0.2), nn.Dropout(0.3),
            nn.Linear(256, 256), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        )  # fmt: skip
        D = nets.roles.Featured(body, nn.Linear(256, 10))
    game = games.load("semi_supervised_gan")(
        G, D, n_classes=10, lr=1e-3, labelled_weight=len(train) / n,
        unlabelled_weight=weight, ema_halflife=100.0,
    )  # fmt: skip
    run = play(game, train, n_steps=2_000, batch_size=100, seed=seed, every=2_000)
    error = of_classifier("classification_error", game, test, averaged=True)
    return error.value(run.final)
