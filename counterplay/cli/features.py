"""`counterplay features`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from tyro.conf import arg

from counterplay import features as feature_maps
from counterplay._recipe import Recipe
from counterplay.cli import _options, _show
from counterplay.cli._folder import read_tables
from counterplay.cli.play import BARE
from counterplay.errors import ConfigError


def features(
    *,
    out: Annotated[Path, arg(metavar="FILE")],
    kind: Literal["classifier", "autoencoder"] = "classifier",
    file: _options.From = None,
    data: _options.Name = None,
    part: Literal["valid", "train", "test"] = "valid",
    overrides: _options.Set = (),
    name: _options.Name = None,
    n_features: _options.Number = None,
    n_steps: _options.Number = None,
    seed: _options.Number = None,
    skip_broken: bool = False,
    threads: int = 1,
) -> None:
    """Train a feature map on your own data and save it to a file.

    Runs measure with it by `--set features.name=saved features.path=FILE`, and Python reads
    it by `counterplay.features.saved`. The quality that is printed was measured on a fifth
    of the instances, which the map has not learnt from.

    Args:
        out: File to write, such as `features.safetensors`.
        kind: `classifier` learns from labels, `autoencoder` needs none.
        file: Recipe in TOML, or a run folder, whose data to take.
        data: Data set, see `counterplay list data`; `digits` if not given.
        part: Instances to learn from. Those that a game trains on, or that a gain
            is proven on, would look special: `valid` is the part for runs.
        overrides: Any keys of the data and the training, such as `data.path=photos
            data.size=32 features.lr=1e-3`.
        name: What the map is called in the names of results; the kind if not given.
        n_features: Number of features.
        n_steps: Steps of training.
        seed: Determines first parameters, order, and who only measures.
        skip_broken: Leave out images that cannot be read; short for `data.skip_broken`.
        threads: Threads to compute in; another number gives other last digits.

    Raises:
        ConfigError: If the file exists already, or two kinds are named.
    """
    if out.exists():
        raise ConfigError(
            f"{str(out)!r} exists already, and runs may have been measured with it. Choose "
            "another file, or delete it."
        )
    base = _tables(file)
    base["features"] = {"name": kind}
    named = {
        "data.name": data,
        "data.skip_broken": skip_broken or None,
        "features.n_features": n_features,
        "features.n_steps": n_steps,
        "features.seed": seed,
    }
    recipe = _options.recipe_of(base, overrides, named=named)
    if recipe.features["name"] != kind:
        raise ConfigError(
            f"`--kind` is {kind!r}, but `--set` gives features.name = "
            f"{recipe.features['name']!r}. Say the kind by `--kind` alone."
        )
    torch.set_num_threads(threads)
    options = {k: v for k, v in recipe.features.items() if k != "name"}
    instances = getattr(recipe.splits, part)
    make = getattr(feature_maps, kind)
    with _show.stage(f"Training a feature {kind} on {len(instances):,} instances"):
        trained = make(instances, **options, **({"name": name} if name else {}))
    trained.save(out)
    _show.say(f"{_judged(trained)}; fingerprint {trained.fingerprint}")
    _show.say(f"The feature map {trained.name!r} is in {out}")


def _tables(file: Path | None) -> dict[str, Any]:
    if file is None:
        return dict(BARE)
    tables = read_tables(file)
    return {
        **BARE,
        **{k: v for k, v in tables.items() if k in Recipe.__dataclass_fields__},
    }


def _judged(trained: feature_maps.Classifier | feature_maps.Autoencoder) -> str:
    if isinstance(trained, feature_maps.Classifier):
        return f"Accuracy {trained.accuracy:.1%} on held-out instances"
    return (
        f"Squared error {trained.error:.3g} on held-out instances, where always giving the "
        "mean instance has 1"
    )
