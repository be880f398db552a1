"""Do the games of images do what their papers claim? On MNIST, at the size of a CPU.

    am      AM-GAN beside LabelGAN, GAN* and AC-GAN* on 16 x 16 digits, judged by a
            classifier of other digits: AM score, inception score, Frechet distance.
    sagan   Self-attention beside a twin without it, both told the class.
    modes   Stacked-MNIST: how many of the 1,000 modes SSGAN, MS-GAN, DAG and InfoMax-GAN
            cover beside the plain GAN, each for the same CPU time with the same small
            networks and settings.

Data: an .npz file with the arrays x_train and y_train, 28 x 28 digits. Every row is kept as
it comes: called again, the same command goes on.

Run: python benchmarks/mnist_claims.py --data MNIST.npz [--claims am ...] [--seeds 3]
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from counterplay import _rng, data, features, games, nets, optim, play
from counterplay.game import Columns, Game
from counterplay.metrics.am_score import am_score
from counterplay.metrics.frechet import frechet_distance
from counterplay.metrics.inception_score import inception_score
from counterplay.metrics.stacked_modes import stacked_modes_covered, stacked_reverse_kl


Found = dict[str, float]
LATENT = 128
N_MOVES = 12_000  # of the plain GAN of `modes`; the others have its CPU time
N_SAMPLES = {"am": 5_000, "sagan": 2_000, "modes": 25_600}


@cache
def digits(path: Path) -> dict[str, Columns]:
    """4,000 digits to learn from, 4,000 for the judge and 1,000 to compare, 16 x 16."""
    splits = data.npz(path, n_train=4_000, n_valid=4_000, n_test=1_000)
    return {
        part: replace(
            columns,
            tensors={**columns.tensors, "x": avg_pool2d(_padded(columns["x"]), 2)},
        )
        for part, columns in {
            "train": splits.train, "valid": splits.valid, "test": splits.test,
        }.items()
    }  # fmt: skip


def _padded(x: Tensor) -> Tensor:
    return torch.nn.functional.pad(x, (2, 2, 2, 2), value=-1.0)


@cache
def judge(path: Path) -> features.Classifier:
    return features.classifier(digits(path)["valid"], n_steps=1_500, seed=0)


def falling(lr: float, n_steps: int) -> optim.Rate:
    return lambda move: lr * (1 - move / n_steps)


def samples(game: Game, state: Any, noise: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        rows = len(noise["z"])
        parts = [{k: v[i : i + 512] for k, v in noise.items()} for i in range(0, rows, 512)]
        return torch.cat([game.sample(state, part) for part in parts])


def am(path: Path, who: str, seed: int) -> Found:
    parts, factory, n_steps = digits(path), games.load("amgan"), 8_000
    objective, _, labelling = who.partition(", ")
    network = nets.networks(
        "dcgan", nets.roles_of(factory), (1, 16, 16),
        {"latent_dim": LATENT, "n_classes": 10}, width=32, seed=seed, norm="batch",
    )  # fmt: skip
    game = factory(
        *network,
        n_classes=10,
        latent_dim=LATENT,
        objective=objective,
        predefined=labelling == "predefined",
        lr=falling(4e-4, n_steps),
    )
    run = play(game, parts["train"], n_steps=n_steps, batch_size=64, seed=seed, every=4_000)
    noise = game.draw(N_SAMPLES["am"], _rng.generator(seed, "claims"), run.final.view())
    return judged(path, samples(game, run.final.view(), noise))


AM = [
    f"{objective}, {labelling}"
    for objective in ("am", "label", "gan", "acgan")
    for labelling in ("dynamic", "predefined")
    if (objective, labelling) not in {
        ("label", "predefined"), ("gan", "predefined"), ("acgan", "dynamic"),
    }
]  # fmt: skip


def judged(path: Path, fake: Tensor) -> Found:
    real, logits = digits(path)["test"]["x"], judge(path).logits
    with torch.no_grad():
        of_real, of_fake = logits(real), logits(fake)
        return {
            "AM score": float(am_score(of_real, of_fake)),
            "inception score": float(inception_score(of_fake)),
            "Frechet distance": float(
                frechet_distance(judge(path)(real), judge(path)(fake))
            ),
        }


def sagan(path: Path, who: str, seed: int) -> Found:
    parts, factory = digits(path), games.load("sagan")
    network = nets.networks(
        "sagan", nets.roles_of(factory), (1, 16, 16),
        {"latent_dim": LATENT, "n_classes": 10}, width=16, seed=seed, activation="relu",
        attention=who == "with attention",
    )  # fmt: skip
    game = factory(*network, n_classes=10, latent_dim=LATENT, lr_g=2e-4, lr_d=8e-4)
    run = play(game, parts["train"], n_steps=2_400, batch_size=64, seed=seed, every=1_200)
    n = N_SAMPLES["sagan"]
    z = torch.randn(n, LATENT, generator=_rng.generator(seed, "claims"))
    y = torch.arange(n) % 10
    fake = samples(game, run.final.view(), {"z": z, "y": y})
    with torch.no_grad():
        agreement = (judge(path).logits(fake).argmax(1) == y).double().mean()
    return {"label agreement": float(agreement), **judged(path, fake)}


@cache
def stacked(path: Path) -> data.Splits:
    return data.stacked_mnist(path)


@cache
def counter(path: Path) -> features.StackedClassifier:
    return features.stacked_classifier(stacked(path).valid, n_steps=1_500)


def modes(path: Path, who: str, seed: int) -> Found:
    game, train = stacked_game(who, seed), stacked(path).train
    n_steps = round(N_MOVES / relative_costs(path)[who])
    run = play(game, train, n_steps=n_steps, batch_size=64, seed=seed, every=n_steps)
    noise = game.draw(N_SAMPLES["modes"], _rng.generator(seed, "claims"), run.final.view())
    logits = _logits(path, samples(game, run.final.view(), noise))
    return {
        "modes": float(stacked_modes_covered(logits)),
        "reverse KL": float(stacked_reverse_kl(logits)),
        "moves": n_steps,
    }


@cache
def relative_costs(path: Path) -> dict[str, float]:
    """CPU of a move in units of the plain GAN's: the medians of rounds, all in turn."""
    train, sides = stacked(path).train, CLAIMS["modes"][1]
    games_of = {who: stacked_game(who, 0) for who in sides}
    rounds = [
        [_cpu(game, train, 60) - _cpu(game, train, 20) for game in games_of.values()]
        for _ in range(5)
    ]
    ratios = [[cost / one[0] for cost in one] for one in rounds]
    return dict(zip(sides, map(statistics.median, zip(*ratios, strict=True)), strict=True))


def _cpu(game: Game, train: Columns, n_steps: int) -> float:
    begin = time.process_time()
    play(game, train, n_steps=n_steps, batch_size=64, seed=0)
    return time.process_time() - begin


def _logits(path: Path, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([counter(path).logits(part) for part in x.split(512)])


def stacked_game(name: str, seed: int) -> Game:
    """Every game with the same networks, losses and rates; each adds its own terms."""
    factory = games.load(name)
    own = {"infomax_gan": {"n_features": 256}}.get(name, {})
    sizes = {
        "latent_dim": LATENT, "n_features": 256, "n_changes": 4,
        "n_tasks": 4 if name == "ssgan" else 5,
    }  # fmt: skip
    network = nets.networks(
        "dcgan", nets.roles_of(factory), (3, 28, 28), sizes, width=16, width_d=4,
        seed=seed,
    )  # fmt: skip
    rates = {"lr_g": 2e-4, "lr_d": 2e-4} if name == "gan" else {"lr": 2e-4}
    return factory(
        *network, latent_dim=LATENT, loss="non_saturating", n_critic=1, betas=(0.5, 0.9),
        **rates, **own,
    )  # fmt: skip


CLAIMS: dict[str, tuple[Callable[[Path, str, int], Found], list[str]]] = {
    "am": (am, AM),
    "sagan": (sagan, ["with attention", "its twin without"]),
    "modes": (modes, ["gan", "ssgan", "msgan", "dag", "infomax_gan"]),
}


def real(path: Path, claim: str) -> Found:
    """What real data get."""
    if claim != "modes":
        return judged(path, digits(path)["train"]["x"])
    x = stacked(path).train["x"]
    x = torch.cat([x, stacked(path).test["x"]])
    logits = _logits(path, x)
    return {"modes": float(stacked_modes_covered(logits)),
            "reverse KL": float(stacked_reverse_kl(logits)), "moves": 0}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="MNIST as .npz")
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=list(CLAIMS))
    parser.add_argument("--seeds", type=int, default=3)
    build = Path("build")
    parser.add_argument("--rows", type=Path, default=build / "mnist_claims.jsonl")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.rows.parent.mkdir(parents=True, exist_ok=True)
    chosen.rows.touch()
    done = {(row["claim"], row["who"], row["seed"]) for row in _read(chosen.rows)}
    for claim in chosen.claims:
        for who, seed, found in _found(chosen, claim, done):
            row = {"claim": claim, "who": who, "seed": seed, **found}
            with chosen.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    report(_read(chosen.rows), chosen.claims)


def _found(
    chosen: argparse.Namespace, claim: str, done: set
) -> Iterator[tuple[str, int, Found]]:
    measure, sides = CLAIMS[claim]
    if (claim, "real data", 0) not in done:
        yield "real data", 0, real(chosen.data, claim)
    for seed in range(chosen.seeds):
        for who in sides:
            if (claim, who, seed) not in done:
                yield who, seed, measure(chosen.data, who, seed)


def report(rows: list[dict], claims: list[str]) -> None:
    for claim in claims:
        sides = defaultdict(list)
        for row in rows:
            if row["claim"] == claim:
                sides[row["who"]].append(row)
        print(f"\n{claim}")
        for who, found in sides.items():
            names = [name for name in found[0] if name not in ("claim", "who", "seed")]
            cells = [_cell(name, [row[name] for row in found]) for name in names]
            print(f"| {who} | " + " | ".join(cells) + " |")


def _cell(name: str, values: list[float]) -> str:
    mean = sum(values) / len(values)
    return f"{name} {mean:.3f} [{min(values):.3f}, {max(values):.3f}]"


def _read(rows: Path) -> list[dict]:
    return [json.loads(line) for line in rows.read_text().splitlines()]


if __name__ == "__main__":
    main()
