"""`counterplay score`."""

import csv
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor
from tyro.conf import arg, Positional

from counterplay import features as feature_maps
from counterplay.cli import _options, _show
from counterplay.cli._folder import RunFolder
from counterplay.data._arrays import columns_of
from counterplay.data.image_folder import images_in
from counterplay.errors import ConfigError, CounterplayError, DataError, MetricError
from counterplay.game import Columns
from counterplay.metrics._facts import Classified
from counterplay.metrics._measures import SampleMeasure
from counterplay.metrics.classification import with_error
from counterplay.metrics.per_class import per_class as per_class_of
from counterplay.report import figures
from counterplay.scoring import score as score_state, score_samples
from counterplay.typing import FeatureMap


Row = dict[str, Any]
Failures = dict[str, CounterplayError]  # what could not be measured, and why
FILE_METRICS = ("frechet",)  # of samples from files, unless told otherwise


def score(
    models: Annotated[Positional[tuple[Path, ...]], arg(metavar="MODEL")],
    *,
    metric: _options.Names = (),
    part: Literal["valid", "test"] = "test",
    repeats: int = 1,
    reference: Annotated[Path | None, arg(metavar="PATH")] = None,
    features: Annotated[Path | None, arg(metavar="FILE")] = None,
    size: int = 32,
    resamples: int = 0,
    sort: Literal["given", "value"] = "given",
    output: Literal["table", "json", "csv"] = "table",
    figure: Annotated[Path | None, arg(metavar="FILE")] = None,
    per_class: bool = False,
) -> None:
    """Measure the metrics of one or several models.

    A model is a run folder, or samples that something else made: a folder of images or a
    `.npy` file of images or features. Every value stands beside what real instances get in
    place of samples, as many if the reference has twice that number, else half of it.
    What cannot be measured is named at the end, with status 1; the rest is shown.

    Args:
        models: Run folders, folders of images, `.npy` files.
        metric: Metrics, see `counterplay list metrics`; if not given, those of each recipe,
            to trace and to report, and `frechet` for samples from files.
        part: Data that a run is compared with.
        repeats: Sets of latents per run; two and more give an interval.
        reference: Real data that samples from files are compared with: a folder of images
            or a `.npy` file.
        features: Feature map for samples from files: what `counterplay features` wrote
            (`.safetensors`), TorchScript (`.pt`) or `.onnx`; none if they hold features.
        size: Side to which images in folders are brought, in pixels.
        resamples: Bootstrap resamples of samples from files, for an interval.
        sort: Rows as given, or every metric's models from best to worst.
        output: What to print.
        figure: Draw the values and their intervals to this file, as `.svg` and `.png`.
        per_class: For run folders with a classifier, add a table of what the class-aware
            Frechet distance is made of, class by class.

    Raises:
        ConfigError: If samples from a file have nothing to be compared with.
        MetricError: If something could not be measured.
    """
    rows: list[Row] = []
    classes: list[Row] = []
    feature_map = None if features is None else _feature_map(features)
    real = None if reference is None else _instances(reference, size)["x"]
    failures: Failures = {}
    for path in models:
        with _kept(failures, str(path)):
            if (path / "run.toml").exists():
                folder = RunFolder.open(path)  # once: it holds the data and the feature map
                rows += _of_run(folder, metric, part, repeats, failures)
                classes += _classes_of(folder, part) if per_class else ()
            elif reference is None or real is None:
                raise ConfigError(
                    f"{str(path)!r} is no run folder, so its samples need real data to be "
                    "compared with. Give `--reference`, a folder of images or a `.npy` "
                    "file."
                )
            else:
                fake = _instances(path, size)["x"]
                _warn_of_range(path, fake, reference, real)
                for name in metric or FILE_METRICS:
                    with _kept(failures, f"{name} of {path}"):
                        found = score_samples(
                            name, fake, feature_map, reference=real, n_resamples=resamples
                        )
                        rows.append({"model": str(path), **found.row()})
    if failures and not rows:
        (first, *_) = failures.values()
        raise first
    if sort == "value":
        _warn_of_extractors(rows)
        rows = _ranked(rows)
    if figure is not None:
        figures.save(figures.score_spread(rows), figure.with_suffix(""))
    if output == "json":
        tables = {"metrics": rows, "classes": classes} if classes else rows
        print(json.dumps(tables, indent=1))
    else:
        _print(rows, output, "Metrics")
        if classes:
            _print(classes, output, "Classes")
    if failures:
        causes = " ".join(f"{what}: {error}" for what, error in failures.items())
        raise MetricError(
            f"{len(failures)} could not be measured, and what could be is above. {causes}"
        )


@contextmanager
def _kept(failures: Failures, what: str) -> Iterator[None]:
    """Go on after an error, and remember it: other values are not lost with one.

    Yields:
        Nothing.
    """
    try:
        yield
    except CounterplayError as error:
        failures[what] = error


def _classes_of(folder: RunFolder, part: str) -> Iterator[Row]:
    recipe, game = folder.recipe, folder.recipe.make_game()
    (target,) = recipe.targets(game, part, ["class_aware_frechet"])
    phi, data = recipe.feature_map, getattr(recipe.splits, part)
    assert isinstance(target.measure, SampleMeasure)
    rows = target.measure.all_rows(folder.trajectory().final)
    with torch.no_grad():
        real = target.measure.rows(data["x"])
        width = phi(data["x"][:1]).shape[1]
    found = per_class_of(
        Classified(real[:, :width], real[:, width:]),
        Classified(rows[:, :width], rows[:, width:]),
    )
    for k, name in enumerate(data.class_names or range(len(found.distance))):
        yield {
            "model": str(folder.path),
            "class": str(name),
            "distance": float(found.distance[k]),
            "share of real": float(found.real_proportion[k]),
            "share of fake": float(found.fake_proportion[k]),
            "effective real": float(found.real_effective[k]),
            "effective fake": float(found.fake_effective[k]),
            "reliable": not bool(found.unreliable[k]),
        }


def _of_run(
    folder: RunFolder, names: tuple[str, ...], part: str, repeats: int, failures: Failures
) -> Iterator[Row]:
    recipe, game = folder.recipe, folder.recipe.make_game()
    names = names or with_error([*recipe.metric_names, *recipe.report_names], game)
    final = folder.trajectory().final
    for name in names:
        with _kept(failures, f"{name} of {folder.path}"):
            (target,) = recipe.targets(game, part, [name])
            found = score_state(target, final, repeats=repeats)
            yield {"model": str(folder.path), **found.row()}


def _instances(path: Path, size: int) -> Columns:
    """The images of a folder, or the rows or images of a `.npy` file.

    Raises:
        DataError: If it is neither.
    """
    if path.is_dir():
        return images_in(path, size=size)
    try:
        array = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} is neither a run folder, a folder of images, nor a `.npy` "
            "file. Save an array with `numpy.save`."
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(
            f"{str(path)!r} holds several arrays. Save the one to be scored with "
            "`numpy.save`, as `.npy`."
        )
    return columns_of(array, None, prefix=path.stem)


def _warn_of_range(path: Path, fake: Tensor, reference: Path, real: Tensor) -> None:
    if fake.dim() > 2 and (fake.min() >= 0) != (real.min() >= 0):
        warnings.warn(
            f"The images of {str(path)!r} reach from {float(fake.min()):.3g} to "
            f"{float(fake.max()):.3g}, those of {str(reference)!r} from "
            f"{float(real.min()):.3g} to {float(real.max()):.3g}. Images are read in "
            "[-1, 1]; if either is in [0, 1], multiply by 2 and subtract 1.",
            stacklevel=2,
        )


def _warn_of_extractors(rows: list[Row]) -> None:
    for name in dict.fromkeys(row["metric"] for row in rows):
        found = {row["extractor"] for row in rows if row["metric"] == name}
        if len(found) > 1:
            warnings.warn(
                f"The values of {name!r} are on {len(found)} different feature maps, "
                f"{sorted(found)}, so the order of the models means nothing. Score them on "
                "one map, see `features.name=saved`.",
                stacklevel=2,
            )


def _feature_map(path: Path) -> FeatureMap:
    match path.suffix:
        case ".safetensors":
            return feature_maps.saved(path)
        case ".onnx":
            return feature_maps.onnx(path)
        case _:
            return feature_maps.torchscript(path)


def _ranked(rows: list[Row]) -> list[Row]:
    """Metrics in the order given, and the models of each from best to worst."""
    order = list(dict.fromkeys(row["metric"] for row in rows))
    sign = {"higher": -1, "lower": 1}
    return sorted(
        rows, key=lambda r: (order.index(r["metric"]), sign[r["better"]] * r["value"])
    )


def _print(rows: list[Row], output: str, title: str) -> None:
    if output == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
    else:
        _show.table(title, [_shown(row) if "metric" in row else row for row in rows])


def _shown(row: Row) -> Row:
    low, high, of_real = row["low"], row["high"], row["of_real"]
    return {
        "model": row["model"],
        "metric": row["metric"],
        "value": row["value"],
        "95 %": "" if low is None else f"{low:.4g} to {high:.4g}",
        "real data": "" if of_real is None else f"{of_real:.4g} ({row['n_of_real']:,})",
        "better": row["better"],
        "extractor": row["extractor"][:8],
    }
