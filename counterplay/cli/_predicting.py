"""Scoring new files by a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from counterplay.cli import _show
from counterplay.cli._folder import write_columns
from counterplay.cli._given import channel_columns, detection_columns, Given
from counterplay.errors import ConfigError
from counterplay.estimators import _saved


def predict(
    model: Path, *, data: Sequence[Path], drop: Sequence[str], n_channels: int, out: Path
) -> None:
    """Score files, and write one row per row.

    Raises:
        ConfigError: If the output would replace the data.
    """
    if out.resolve() in [path.resolve() for path in data]:
        raise ConfigError(
            f"`--out` is {str(out)!r}, which holds the data. Write to another file."
        )
    tables = _saved.read_tables(model)
    facts = tables["data"]
    torch.set_num_threads(tables.get("fit", {}).get("threads", 1))
    detector: Any = _saved.load(model)
    if "columns" not in facts:
        raise ConfigError(
            f"The model {str(model)!r} was saved from Python and does not know the columns "
            "of files. Use `estimators.load` there, or fit it by `counterplay fit`."
        )
    given = Given.read(
        data,
        windows=facts["kind"] == "series",
        step=facts.get("step"),
        names=facts["columns"],
        id_column=facts.get("id_column"),
        time=facts.get("time"),
        drop=drop,
        ignore=[*facts["drop"], *([facts["label"]] if "label" in facts else [])],
    )
    with _show.stage(f"Scoring {sum(map(len, given.parts)):,} rows"):
        if given.windows:
            found = detector.scores(given.X)
            columns = detection_columns(given, found.total, detector.threshold_)
            columns |= channel_columns(given.names, found.residuals, n_channels)
        else:
            scores = detector.outlier_scores(given.X)
            columns = detection_columns(given, scores, detector.threshold_)
    write_columns(out, columns)
    n_outliers = int(columns["is_outlier"].sum())
    _show.say(
        f"{n_outliers:,} of {len(columns['score']):,} rows are above the threshold "
        f"{detector.threshold_:.4g}; all scores are in {out}"
    )
