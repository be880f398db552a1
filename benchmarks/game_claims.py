"""Do the games do what their papers claim? Toys on which it can be counted.

Each claim plays a game and its rival with the same networks, data and moves over several
seeds, and prints what was found beside the bar that says whether the claim holds.

Run: python benchmarks/game_claims.py [--claims unrolled ebgan ...] [--seeds 5]
"""

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from _image_claims import cogan, infomax, sagan
from _task_claims import dag, few_labels, msgan
from scipy.stats import spearmanr
from sklearn.datasets import make_moons
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn, Tensor

from counterplay import _rng, data, games, nets, optim, play
from counterplay.data.mixture import Mixture
from counterplay.data.ring import mixture as ring_mixture
from counterplay.game import Columns, Game
from counterplay.nets import mlp


Row = tuple[str, int, str, str]  # who played, the seed, what was found, the bar
N_SAMPLES = 2_000


class Scaled(nn.Module):
    """Numbers times a factor."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def points(x: Tensor, **columns: Tensor) -> Columns:
    ids = tuple(map(str, range(len(x))))
    return Columns({"x": x.float(), **columns}, ids, kind="point")


def ring(std: float, seed: int) -> Columns:
    return data.ring(std=std, seed=seed, dtype=torch.float32).train


def pair(scale: float, *, seed: int, latent_dim: int = 16, width: int = 64) -> list:
    """ReLU networks of two hidden layers; the discriminator reads its inputs scaled."""
    with _rng.seeded(seed, "claims"):
        G = mlp(latent_dim, 2, width=width, activation="relu")
        D = nn.Sequential(Scaled(scale), *mlp(2, None, width=width, activation="relu"))
    return [G, D]


def samples(
    game: Game, run, n: int = N_SAMPLES, *, seed: int = 1, averaged=False
) -> Tensor:
    noise = game.draw(n, _rng.generator(seed, "claims"), run.final.view())
    with torch.no_grad():
        return game.sample(run.final.view(averaged=averaged), noise)


def covered(
    x: Tensor, centres: Tensor, *, within: float, least: float
) -> tuple[int, float]:
    """How many modes have `least` of the samples near them, and the share near any."""
    distance, mode = torch.cdist(x.double(), centres.double()).min(1)
    near = distance < within
    counts = torch.bincount(mode[near], minlength=len(centres))
    return int((counts >= least).sum()), float(near.double().mean())


def on_ring(x: Tensor, std: float) -> str:
    centres = ring_mixture(8, 2.0, std).means
    n, _ = covered(x, centres, within=0.3, least=0.1 * len(x) / 8)
    strict, share = covered(x, centres, within=3 * std, least=20)
    return f"{n} modes; within 3 sd {strict} modes, {share:.2f} of samples"


# Foresight rescues modes where both players move at once (radius 2, sd 0.02).
def unrolled(seeds: range) -> Iterator[Row]:
    bars = {
        (5, True): "8 on most seeds, 7 on all",
        (0, True): "at most 3",
        (0, False): "shown beside: alternating rescues them too",
    }
    for (n_foreseen, simultaneous), bar in bars.items():
        who = f"k={n_foreseen}, {'simultaneous' if simultaneous else 'alternating'}"
        for seed in seeds:
            game = games.load("unrolled")(
                *pair(0.25, seed=seed), n_foreseen=n_foreseen, simultaneous=simultaneous
            )
            moves = 2_000 if simultaneous else 4_000
            train = ring(0.02, seed)
            run = play(game, train, n_steps=moves, batch_size=128, seed=seed, every=moves)
            yield who, seed, on_ring(samples(game, run), 0.02), bar


# An autoencoder with a margin covers the ring; pulling away does not harm.
def ebgan(seeds: range) -> Iterator[Row]:
    for pulling_away in (0.0, 0.1):
        for seed in seeds:
            with _rng.seeded(seed, "claims"):
                G = mlp(16, 2, width=64, activation="relu")
                encoder, decoder = (
                    mlp(n_in, n_out, depth=1, width=64, activation="relu")
                    for n_in, n_out in ((2, 16), (16, 2))
                )
            D = nets.roles.Featured(encoder, decoder)
            # The margin is of the mean over two numbers: half of that of their sum.
            game = games.load("ebgan")(
                G, D, latent_dim=16, margin=0.1, pulling_away=pulling_away
            )
            run = play(game, ring(0.05, seed), n_steps=4_000, batch_size=128, seed=seed,
                       every=4_000)  # fmt: skip
            who = f"pulling_away={pulling_away}"
            yield who, seed, on_ring(samples(game, run), 0.05), "at least 7 modes"


# A discriminator that compares the rows of a batch notices lost modes.
def minibatch(seeds: range) -> Iterator[Row]:
    for name in ("gan", "minibatch_gan"):
        for seed in seeds:
            G, D = pair(1.0, seed=seed)
            if name == "minibatch_gan":
                D = nets.MinibatchDiscriminator(D[:-2], 64)
            game = games.load(name)(
                G, D, latent_dim=16, loss="non_saturating", lr_g=1e-3, lr_d=1e-3,
                betas=(0.5, 0.999), eps_root=1e-8,
            )  # fmt: skip
            run = play(game, ring(0.05, seed), n_steps=4_000, batch_size=64, seed=seed,
                       every=4_000)  # fmt: skip
            bar = "at least 6 modes" if name == "minibatch_gan" else "fewer on one seed"
            yield name, seed, on_ring(samples(game, run), 0.05), bar


# Several discriminators give better samples than one (alternating minimax).
def gman(seeds: range) -> Iterator[Row]:
    for n, harshness in ((1, 0.0), (5, 1.0), (5, 0.0)):
        for seed in seeds:
            G, _ = pair(0.5, seed=seed)
            Ds = [pair(0.5, seed=1_000 * seed + i)[1] for i in range(n)]
            game = games.load("gman")(
                G, Ds, latent_dim=16, n_discriminators=n, harshness=harshness, lr=1e-3
            )
            run = play(game, ring(0.05, seed), n_steps=4_000, batch_size=128, seed=seed,
                       every=4_000)  # fmt: skip
            who = f"{n} discriminators, harshness {harshness}"
            bar = "8 modes; the share of 5 above that of 1 by .05"
            yield who, seed, on_ring(samples(game, run), 0.05), bar


# With entropy, the energy ends as minus the log-density (two normals, 90 to 10).
def cegan(seeds: range) -> Iterator[Row]:
    means = torch.tensor([[2.1, 2.1], [-2.1, -2.1]], dtype=torch.float64)
    normal = Mixture(means, torch.eye(2, dtype=torch.float64) * 1.44)
    shares = torch.tensor([0.9, 0.1], dtype=torch.float64)

    def log_density(x: Tensor) -> Tensor:
        parts = [-(x - mean).square().sum(1) / (2 * 1.44) for mean in normal.means]
        return (torch.stack(parts, 1) + shares.log()).logsumexp(1)

    for entropy in (1.0, 0.0, None):
        for seed in seeds:
            generator = _rng.generator(seed, "mixture")
            mode = torch.multinomial(shares, 5_000, replacement=True, generator=generator)
            x = means[mode] + 1.2 * torch.randn(5_000, 2, generator=generator).double()
            options = {"latent_dim": 4}
            nets_ = pair(1.0, seed=seed, latent_dim=4)
            if entropy is None:
                optimizers = dict.fromkeys(
                    "GD", optim.adam(1e-3, betas=(0.0, 0.99), eps_root=1e-8)
                )
                game = games.load("gan")(*nets_, **options, optimizers=optimizers)
            else:
                game = games.load("cegan")(*nets_, **options, entropy=entropy)
            run = play(game, points(x), n_steps=4_000, batch_size=200, seed=seed,
                       every=4_000)  # fmt: skip
            params = run.final.view(averaged=bool(game.averages))
            D = nets_[1]
            with torch.no_grad():
                own = {k: params["D"][k] for k in dict(D.named_parameters())}
                logits = torch.func.functional_call(D, own, (x[:2_000].float(),))
            rho = spearmanr(logits, log_density(x[:2_000])).statistic
            who = "ordinary GAN" if entropy is None else f"entropy={entropy}"
            bar = "at least .9" if entropy else "at most .5"
            yield who, seed, f"rank correlation {rho:.3f}", bar


# An autoencoder in the game keeps all 25 modes of a grid.
def gaan(seeds: range) -> Iterator[Row]:
    scale = 0.2
    centres = scale * torch.cartesian_prod(*[torch.arange(-4.0, 5, 2)] * 2)
    for seed in seeds:
        x = scale * data.grid(seed=seed, dtype=torch.float32).train["x"]
        for name in ("gaan", "gan"):
            with _rng.seeded(seed, "claims"):
                G = mlp(2, 2, width=128, depth=3, activation="relu")
                E = mlp(2, 2, width=128, depth=3, activation="relu")
                body = mlp(2, 128, width=128, depth=2, activation="relu")
                head = nn.Sequential(nn.ReLU(), nn.Linear(128, 1), nn.Flatten(0))
            lr = lambda move: 1e-3 * 0.7 ** (move / 12_500)
            if name == "gaan":
                game = games.load("gaan")(
                    E, G, nets.roles.Featured(body, head),
                    latent_dim=2, distance="data", reconstruct=10.0, constraint=0.1,
                    penalty=0.1, n_critic=3, betas=(0.8, 0.999), lr=lr,
                    generator_reconstructs=False,
                )  # fmt: skip
                n_steps = 30_000
            else:
                rule = optim.adam(lr, betas=(0.8, 0.999), eps_root=1e-8)
                game = games.load("gan")(
                    G, nn.Sequential(body, head), latent_dim=2, n_critic=3,
                    optimizers={"G": rule, "D": rule},
                )  # fmt: skip
                n_steps = 24_000
            run = play(game, points(x), n_steps=n_steps, batch_size=128, seed=seed,
                       every=n_steps)  # fmt: skip
            n, share = covered(samples(game, run), centres, within=0.25 * scale, least=20)
            bar = "22 modes, .70, 8 more than the GAN" if name == "gaan" else "beside"
            yield name, seed, f"{n} of 25 modes, {share:.2f} of samples", bar


# Each divergence has its own optimum for a normal fitted to two (by quadrature).
def objectives(seeds: range) -> Iterator[Row]:
    bars = {
        "kl": "(0, 2.06)",
        "reverse_kl": "(2, 0.5)",
        "non_saturating": "(2, 0.5)",
        "minimax": "one of the two",
    }
    for loss, bar in bars.items():
        for seed in seeds:
            yield loss, seed, _fitted(seed, loss=loss), bar


# The share of instances in D's loss moves a minimax game from covering to seeking.
def task_cost(seeds: range) -> Iterator[Row]:
    for share, bar in {0.1: "(0, 2.06)", 0.9: "(2, 0.5)"}.items():
        for seed in seeds:
            yield f"share {share}", seed, _fitted(seed, loss="minimax", share=share), bar


def _fitted(seed: int, *, loss: str, share: float = 0.5) -> str:
    """Mean and spread of a normal generator that began at (1, 0.6)."""
    generator = _rng.generator(seed, "two modes")
    sign = torch.randint(2, (5_000, 1), generator=generator) * 2.0 - 1
    x = 2 * sign + 0.5 * torch.randn(5_000, 1, generator=generator)
    with _rng.seeded(seed, "claims"):
        G, D = nn.Linear(1, 1), mlp(1, None, depth=1, width=32)
    nn.init.constant_(G.weight, 0.6)
    nn.init.constant_(G.bias, 1.0)
    game = games.load("gan")(
        G, D, latent_dim=1, loss=loss, n_critic=3, real_share=share, lr_g=1e-2, lr_d=1e-2,
        betas=(0.5, 0.999),
    )  # fmt: skip
    run = play(game, points(x), n_steps=2_400, batch_size=256, seed=seed, every=2_400)
    params = run.final.params["G"]
    return f"({float(params['bias']):.2f}, {abs(float(params['weight'])):.2f})"


# A normal generator finds a normal, and D ends at chance.
def equilibrium(seeds: range) -> Iterator[Row]:
    for seed in seeds:
        generator = _rng.generator(seed, "normal")
        x = 1.5 + 0.7 * torch.randn(10_000, 1, generator=generator)
        with _rng.seeded(seed, "claims"):
            G, D = nn.Linear(1, 1), mlp(1, None, depth=1, width=32)
        rate = lambda move: 1e-2 / (1 + move / 500)
        rule = optim.adam(rate, betas=(0.5, 0.999), eps_root=1e-8)
        game = games.load("gan")(
            G,
            D,
            latent_dim=1,
            loss="minimax",
            n_critic=3,
            optimizers={"G": rule, "D": rule},
        )
        losses: list[float] = []

        def note(state, found, losses=losses):
            del state
            losses.extend([found["D"]] if "D" in found else [])

        run = play(
            game, points(x), n_steps=8_000, batch_size=512, seed=seed, every=8_000,
            on_step=note,
        )  # fmt: skip
        params = run.final.params["G"]
        mean, spread = float(params["bias"]), abs(float(params["weight"]))
        value = -np.mean(losses[-500:])
        found = f"mean {mean:.2f}, sd {spread:.2f}, value {value:.3f}"
        yield "minimax", seed, found, f"1.5, 0.7 within .1; {-math.log(4):.3f} within .05"


# Two moons with 4 labels a class: the game helps the classifier.
def semi_supervised(seeds: range) -> Iterator[Row]:
    for seed in seeds:
        x, y = make_moons(600, noise=0.08, random_state=seed)
        x = torch.as_tensor(StandardScaler().fit_transform(x), dtype=torch.float32)
        y = torch.as_tensor(y)
        rng = np.random.default_rng(seed)
        kept = np.concatenate([rng.permutation(np.flatnonzero(y == k))[:4] for k in (0, 1)])
        given = torch.full_like(y, -1)
        given[kept] = y[kept]
        found = []
        for weight in (0.0, 1.0):
            with _rng.seeded(seed, "claims"):
                G = mlp(16, 2, width=64, activation="softplus")
                body = mlp(2, 64, depth=1, width=64, activation="leaky_relu")
                head = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(64, 2))
            game = games.load("semi_supervised_gan")(
                G, nets.roles.Featured(body, head), n_classes=2, latent_dim=16,
                labelled_weight=600 / 8, unlabelled_weight=weight, ema_halflife=50.0,
            )  # fmt: skip
            run = play(game, points(x, y=given), n_steps=2_000, batch_size=100, seed=seed,
                       every=2_000)  # fmt: skip
            D = game.modules["D"]
            own = run.final.view(averaged=True)["D"]
            with torch.no_grad():
                logits, _ = torch.func.functional_call(D, own, (x,))
            found.append(float((logits.argmax(1) == y).double().mean()))
        text = f"{found[0]:.3f} without, {found[1]:.3f} with the game"
        yield "accuracy", seed, text, "mean gain .03, no seed worse by .02"


# ALI and BiGAN learn to encode digits without being shown a pair.
def inversion(seeds: range) -> Iterator[Row]:
    splits = data.digits()
    train, test = splits.train, splits.test
    for name in ("ali", "bigan"):
        for seed in seeds:
            factory = games.load(name)
            networks = nets.networks(
                "mlp", nets.roles_of(factory), (1, 8, 8), {"latent_dim": 10},
                width=128, seed=seed, activation="leaky_relu",
            )  # fmt: skip
            game = factory(*networks, latent_dim=10, lr=1e-3)
            n_steps = 2_000 if name == "ali" else 4_000
            run = play(game, train, n_steps=n_steps, batch_size=100, seed=seed,
                       every=n_steps)  # fmt: skip
            team, own = game.modules["G"], run.final.view()["G"]

            def of(part, x, team=team, own=own):
                tensors = {
                    k.removeprefix(f"{part}."): v
                    for k, v in own.items()
                    if k.startswith(part)
                }
                with torch.no_grad():
                    return torch.func.functional_call(team[part], tensors, (x,))

            codes = {p: of("encoder", d["x"])[:, :10] for p, d in
                     {"train": train, "test": test}.items()}  # fmt: skip
            rebuilt = of("generator", codes["test"])
            others = test["x"].roll(1, 0)
            ratio = (test["x"] - rebuilt).flatten(1).norm(dim=1).mean() / (
                others - rebuilt
            ).flatten(1).norm(dim=1).mean()
            nearest = KNeighborsClassifier(1).fit(codes["train"], train["y"])
            accuracy = nearest.score(codes["test"], test["y"])
            bar = "at most .80; " + (".90" if name == "ali" else ".86")
            yield name, seed, f"ratio {ratio:.2f}; 1-NN {accuracy:.3f}", bar


CLAIMS: dict[str, Callable[[range], Iterator[Row]]] = {
    claim.__name__: claim
    for claim in (
        unrolled, ebgan, minibatch, gman, cegan, gaan, objectives, task_cost, equilibrium,
        semi_supervised, few_labels, inversion, cogan, infomax, sagan, dag, msgan,
    )
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--claims", nargs="*", choices=CLAIMS, default=list(CLAIMS))
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.claims:
        print(f"\n{name}\n\n| who | seed | found | bar |\n|---|---|---|---|")
        for who, seed, found, bar in CLAIMS[name](range(chosen.seeds)):
            print(f"| {who} | {seed} | {found} | {bar} |", flush=True)


if __name__ == "__main__":
    main()
