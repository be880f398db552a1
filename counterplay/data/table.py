"""A table of measurements: CSV or Parquet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from counterplay.data._arrays import existing, labels_of
from counterplay.data._tables import read_table
from counterplay.data.splits import complete, PARTS, Scaling, Splits
from counterplay.errors import DataError
from counterplay.game import Columns


MAX_CATEGORIES = 100


def table(
    path: str | Path,
    *,
    target: str | None = None,
    id_column: str | None = None,
    drop: Sequence[str] = (),
    n_train: int | None = None,
    n_valid: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> Splits:
    """The rows of a CSV or Parquet file, standardised.

    Numbers have mean 0 and variance 1 over the training part (a constant column becomes 0);
    text has one column per value, 0 or 1. `scaling` of the result undoes it.

    Args:
        path: A file that ends in `.csv`, `.tsv`, `.parquet` or `.pq`; `.csv.gz` works too.
        target: Column that becomes `"y"`: text, truth values and integers as labels, other
            numbers as they are. A row whose label is missing has the label -1.
        id_column: Column that names the rows; default their number, counted from 0.
        drop: Columns to leave out.
        n_train: Rows to learn from; default all that the other parts leave.
        n_valid: Rows to choose by; default a fifth.
        n_test: Rows to prove with; default a fifth.
        seed: Determines who is in which part; labels keep their shares.

    Returns:
        Columns `"x"` of shape `(n, d)`, float32, and with a target `"y"`.

    Raises:
        DataError: If the file cannot be read, a value that is no label is missing, or a
            column is of no use.
    """
    file = existing(path, "file")
    rows = read_table(file)
    named = {*drop, *(name for name in (target, id_column) if name is not None)}
    _check_names(file, rows.column_names, named)
    rows = rows.drop_columns(list(drop))
    _refuse_missing(rows, target)
    names, values, numeric = _encode(
        {n: rows[n] for n in rows.column_names if n not in named}
    )
    tensors = {"x": torch.from_numpy(values)}
    class_names: tuple[str, ...] = ()
    if target is not None:
        tensors["y"], class_names = _target(target, rows[target])
    ids = range(len(values)) if id_column is None else rows[id_column].to_pylist()
    everyone = Columns(tensors, tuple(map(str, ids)), kind="row", class_names=class_names)
    splits = complete(everyone, name=file.stem, sizes=(n_train, n_valid, n_test), seed=seed)
    return _standardised(splits, names, torch.tensor(numeric))


def _check_names(file: Path, names: list[str], named: set[str]) -> None:
    for name in sorted(named):
        if name not in names:
            raise DataError(f"{str(file)!r} has no column {name!r}; there are {names}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{str(file)!r} has several columns {twice[0]!r}; rename them.")
    if "" in names and "" not in named:
        raise DataError(
            f"Column {names.index('')} of {str(file)!r} has no name; it often is the row "
            "number that pandas wrote, from which nothing should be learnt. Name it, or "
            "give `id_column=''` or `drop=['']`."
        )
    if not set(names) - named:
        raise DataError(f"{str(file)!r} has no column left to learn from: {names}.")


def _refuse_missing(rows: pa.Table, target: str | None) -> None:
    for name in rows.column_names:
        column = rows[name]
        if name == target and _is_label(column.type):
            continue
        if pa.types.is_floating(column.type):
            bad = ~np.isfinite(column.to_numpy())  # a missing value is NaN there
        else:
            bad = column.is_null().to_numpy()
        where = np.flatnonzero(bad)
        if len(where):
            more = f" and in {len(where) - 1} more rows" if len(where) > 1 else ""
            raise DataError(
                f"Column {name!r} has no finite value in row {where[0]} (the first is 0)"
                f"{more}. Fill the values in, delete the rows, or leave the column out "
                f"with `drop=[{name!r}]`. Only labels, which are text, truth values or "
                "integers, may be missing."
            )


def _encode(
    features: dict[str, pa.ChunkedArray],
) -> tuple[tuple[str, ...], np.ndarray, list[bool]]:
    """Names of the encoded columns, their values, and which are numbers, not text."""
    names: list[str] = []
    blocks: list[np.ndarray] = []
    numeric: list[bool] = []
    for name, column in features.items():
        if _is_text(column.type):
            categories, codes = np.unique(_text(column), return_inverse=True)
            _refuse_many(name, len(categories))
            names += [f"{name}={category}" for category in categories]
            blocks.append(np.eye(len(categories))[codes])
            numeric += [False] * len(categories)
        else:
            names.append(name)
            blocks.append(_numbers(name, column)[:, None])
            numeric.append(True)
    return tuple(names), np.concatenate(blocks, axis=1), numeric


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_dictionary(kind)
    )


def _is_label(kind: pa.DataType) -> bool:
    return _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _text(column: pa.ChunkedArray) -> np.ndarray:
    return np.array([str(value) for value in column.to_pylist()])


def _refuse_many(name: str, n_categories: int) -> None:
    if n_categories > MAX_CATEGORIES:
        raise DataError(
            f"Column {name!r} holds {n_categories} different texts, which would make as "
            f"many columns; at most {MAX_CATEGORIES} are taken. Give `id_column={name!r}` "
            f"if it names the rows, or `drop=[{name!r}]`."
        )


def _numbers(name: str, column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    ):
        raise DataError(
            f"Column {name!r} holds {kind}, neither numbers nor text. Convert it, or leave "
            f"it out with `drop=[{name!r}]`."
        )
    return column.cast(pa.float64(), safe=False).to_numpy()


def _target(name: str, column: pa.ChunkedArray) -> tuple[torch.Tensor, tuple[str, ...]]:
    if not _is_label(column.type):
        return labels_of(_numbers(name, column))
    known = column.is_valid().to_numpy()
    labels = torch.full((len(column),), -1)
    if _is_text(column.type):
        labels[known], class_names = labels_of(_text(column.drop_null()))
        return labels, class_names
    values, codes = np.unique(_numbers(name, column.drop_null()), return_inverse=True)
    labels[known] = torch.from_numpy(codes)
    return labels, tuple(f"{value:g}" for value in values)


def _standardised(splits: Splits, names: tuple[str, ...], numeric: torch.Tensor) -> Splits:
    x = splits.train["x"]
    mean = torch.where(numeric, x.mean(0), 0.0)
    std = torch.where(numeric, x.std(0, correction=0), 1.0)
    scaling = Scaling(names, mean, torch.where(std > 0, std, 1.0))
    parts = {}
    for part in PARTS:
        columns: Columns = getattr(splits, part)
        scaled = scaling.apply(columns["x"]).float()
        parts[part] = replace(columns, tensors={**columns.tensors, "x": scaled})
    return Splits(**parts, name=splits.name, scaling=scaling)
