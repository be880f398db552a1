"""`counterplay predict`."""

import importlib
from pathlib import Path
from typing import Annotated

from tyro.conf import arg, Positional


def predict(
    model: Annotated[Positional[Path], arg(metavar="MODEL")],
    *,
    data: Annotated[tuple[Path, ...], arg(metavar="FILE")],
    drop: Annotated[tuple[str, ...], arg(metavar="COLUMN")] = (),
    n_channels: Annotated[int, arg(metavar="INT")] = 3,
    out: Annotated[Path, arg(metavar="FILE")] = Path("predictions.csv"),
) -> None:
    """Score new rows or series by a model that was fitted before.

    The files need the columns that the model was fitted to, in any order; ids, times and
    labels are recognised by the names they had there. Writes one row per row: its id or
    time, its score, high for outlying, and whether it is above the model's threshold; for
    series also the channels that are furthest from what was expected, and how far, in
    units of half their training range.

    Args:
        model: Folder that `counterplay fit` wrote.
        data: Table, or one or several series: CSV, TSV or Parquet.
        drop: Columns to leave out.
        n_channels: Channels to name for each row of a series.
        out: File to write: CSV, or Parquet if its name ends in `.parquet`.
    """
    # PyTorch and scikit-learn are not needed to print the help.
    predicting = importlib.import_module("counterplay.cli._predicting")
    predicting.predict(model, data=data, drop=drop, n_channels=n_channels, out=out)
