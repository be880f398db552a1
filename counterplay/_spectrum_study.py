"""Swapping a generator's last layer: what becomes of its spectrum, and of a detector of it.

Fakes whose power does not fall off at high frequencies as that of real images does are told
apart by the tail of their spectrum alone. If the last upsampling is what keeps it up,
another one makes a detector useless that learnt from the first.

Source: Chandrasegaran, Tran and Cheung 2021, arXiv 2103.17195; Dzanic, Shah and Witherden
2020, arXiv 1911.06465 (features and detector).
Differs: see `decay_fit`; a detector is judged by images that it did not learn from, and by
real ones as well as fakes, because one that calls everything fake catches every fake.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from counterplay import _rng
from counterplay._atomic import write_atomically
from counterplay._checkpoint import FolderCheckpoints
from counterplay._recipe import Recipe
from counterplay._study import one_thread, reported
from counterplay.errors import ConfigError, DataError
from counterplay.game import Game, State
from counterplay.metrics.spectrum import azimuthal_profile, decibels


Images = Float[Tensor, "n c side side"]
Profiles = Float[Tensor, "n radii"]
Rows = list[dict[str, Any]]
Kind = Literal["knn", "svm"]
CHUNK = 500  # images generated at a time


@dataclass(frozen=True)
class Swap:
    """How generators that differ in their last layer are compared.

    Attributes:
        last_layers: Names of `counterplay.nets.upsampling`; detectors learn from the first.
        n: Images to measure, real ones and those of each generator.
        n_learn: Further images that a detector learns from, real ones and fakes each.
        detectors: Kinds of detectors, `"knn"` and `"svm"`.
    """

    last_layers: Sequence[str] = ("baseline", "Z.1.5", "N.1.5", "B.1.5")
    n: int = 1_000
    n_learn: int = 100
    detectors: Sequence[Kind] = ("knn", "svm")

    def __post_init__(self):
        if not self.last_layers or self.n < 1 or self.n_learn < 5:
            raise ConfigError(
                "A study of spectra needs at least 1 of `last_layers`, `n` of at least 1 "
                "and `n_learn` of at least 5, the neighbours that a detector asks; got "
                f"{list(self.last_layers)}, {self.n} and {self.n_learn}."
            )


@one_thread()
def swap_last_layer(recipe: Recipe, swap: Swap, folder: Path) -> Rows:
    """Train a generator per last layer, measure all, and try a detector of the first.

    Real images that a detector learns from are those of the validation part, real images
    that are measured those of the test part. All images are rounded to 8 bits, as in files.
    The profiles are written to `profiles_<seed>.json`.

    Args:
        recipe: What is played; its networks must have the option `last_layer`.
        swap: What is compared.
        folder: Where runs are kept; a finished one is not played again.

    Returns:
        One row per number: every metric of the recipe on test data; `tail gap`, how many
        decades the `tail_ratio` is off the real one; `called fake by <detector>`, the share
        of images, which for `"real"` are false alarms.
    """
    learn = _first(recipe, "valid", swap.n_learn)
    images, rows = {"real": _first(recipe, "test", swap.n)}, []
    fakes = {}
    for name in swap.last_layers:
        variant = replace(recipe, nets={**recipe.nets, "last_layer": name}).sharing(recipe)
        game = variant.make_game()
        kept = FolderCheckpoints(folder / f"{name}_{recipe.seed}", run=variant.identity)
        final = variant.record(game, checkpoints=kept).final
        fakes[name] = generated(game, final, swap.n_learn + swap.n, seed=recipe.seed)
        images[name] = fakes[name][swap.n_learn :]
        rows += [
            {"source": name, "measure": target.name, "value": target.value(final)}
            for target in reported(recipe, game)
        ]
    learn_fake = fakes[swap.last_layers[0]][: swap.n_learn]
    rows += _gaps(images)
    for kind in swap.detectors:
        detector = learnt_detector(decay_features(learn), decay_features(learn_fake), kind)
        rows += [
            {
                "source": name,
                "measure": f"called fake by {kind}",
                "value": called_fake(detector, decay_features(some)),
            }
            for name, some in images.items()
        ]
    _write_profiles(folder / f"profiles_{recipe.seed}.json", images)
    return [{"seed": recipe.seed, **row} for row in rows]


def decay_fit(
    profiles: Profiles, side: int, *, since: float = 0.75
) -> Float[Tensor, "n 3"]:
    """How fast a spectrum decays, and the level at which its tail begins and ends.

    The amplitudes from radius r_1 on are fitted by a power law, a (r / r_1)^c. The columns
    are c, the fitted level at r_1, and the level at the last radius, in decibels.
    Source: Dzanic, Shah and Witherden 2020, arXiv 1911.06465, and its code.
    Differs: least squares between the logarithms, which have one solution, take the place
    of a simplex search between amplitudes; the tail begins at 0.75 of the largest radius,
    not 0.85, which small images need for enough radii; every whole radius is a bin, of
    which none is empty, and none is smoothed; the centre is the zero frequency. Levels are
    decibels because those of generators differ by orders of magnitude.

    Args:
        profiles: Power per radius, from `azimuthal_profile`.
        side: Of the images.
        since: Where the tail begins, as a share of the largest radius, side / sqrt 2.

    Raises:
        DataError: If fewer than three radii are left.
    """
    radii = torch.arange(profiles.shape[1], dtype=profiles.dtype)
    first = math.ceil(since * side / math.sqrt(2))
    if len(radii) - first < 3:
        raise DataError(
            f"The tail from {since!r} of the largest radius has {len(radii) - first} radii "
            f"in images of side {side}, but a fit needs 3. Lower `since`, or use larger "
            "images."
        )
    level = decibels(profiles[:, first:])
    at = 20 * torch.log10(radii[first:] / radii[first])  # decibels per unit of exponent
    centred = at - at.mean()
    exponent = level @ centred / centred.square().sum()
    begin = level.mean(1) - exponent * at.mean()
    return torch.stack([exponent, begin, level[:, -1]], dim=1)


def decay_features(images: Images) -> np.ndarray:
    """The `decay_fit` of images, one row each."""
    return decay_fit(azimuthal_profile(images), images.shape[-1]).numpy()


def learnt_detector(real: np.ndarray, fake: np.ndarray, kind: Kind = "knn") -> Pipeline:
    """A detector that calls rows like `fake` 1 and rows like `real` 0.

    Raises:
        ConfigError: If there is no such kind.
    """
    kinds = {"knn": KNeighborsClassifier(n_neighbors=5), "svm": SVC(kernel="rbf")}
    if kind not in kinds:
        raise ConfigError(f"There is no detector {kind!r}; there are {sorted(kinds)}.")
    labels = np.repeat([0, 1], [len(real), len(fake)])
    return make_pipeline(StandardScaler(), kinds[kind]).fit(
        np.concatenate([real, fake]), labels
    )


def called_fake(detector: Pipeline, rows: np.ndarray) -> float:
    """The share of rows that a detector calls fake; of real rows, the false alarms."""
    return float(detector.predict(rows).mean())


def tail_ratio(images: Images) -> float:
    """Decimal logarithm of high over low power, averaged over images.

    High are radii from 3/8 of the side to half of it, low those from 1/8 to 1/4.
    """
    power, side = azimuthal_profile(images).mean(0), images.shape[-1]
    high, low = power[3 * side // 8 : side // 2], power[side // 8 : side // 4]
    return float(torch.log10(high.mean() / low.mean()))


def generated(game: Game, state: State, n: int, *, seed: int) -> Images:
    """Images of a trained generator, rounded to 8 bits.

    Raises:
        DataError: If the game generates nothing.
    """
    if game.sample is None:
        raise DataError(
            "This game's `sample` is None: it generates nothing, so there is no spectrum. "
            "Play a game with a generator."
        )
    view = state.view(averaged=bool(game.averages))
    noise = game.draw(n, _rng.generator(seed, "spectrum"), view)
    with torch.no_grad():
        pieces = [
            game.sample(view, {key: entry[i : i + CHUNK] for key, entry in noise.items()})
            for i in range(0, n, CHUNK)
        ]
    return _rounded(torch.cat(pieces))


def _rounded(images: Images) -> Images:
    return ((images + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def _first(recipe: Recipe, part: str, n: int) -> Images:
    images = getattr(recipe.splits, part)["x"]
    if len(images) < n:
        raise DataError(
            f"The {part} part of the data has {len(images)} images, but {n} are compared. "
            "Lower `n` or `n_learn` of [spectrum], or make the part larger."
        )
    return _rounded(images[:n])


def _gaps(images: Mapping[str, Images]) -> Rows:
    ratios = {name: tail_ratio(some) for name, some in images.items()}
    return [
        {"source": name, "measure": "tail gap", "value": abs(ratio - ratios["real"])}
        for name, ratio in ratios.items()
        if name != "real"
    ]


def _write_profiles(path: Path, images: Mapping[str, Images]) -> None:
    table = {}
    for name, some in images.items():
        profiles = azimuthal_profile(some)
        table[name] = {
            "mean": decibels(profiles.mean(0)).tolist(),
            "std": decibels(profiles).std(0).tolist(),
        }
    write_atomically(path, json.dumps(table).encode())
