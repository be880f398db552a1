"""Tables that are larger than the memory, as arrays in files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float32
from pyarrow import csv, parquet

from counterplay.data._arrays import existing
from counterplay.errors import DataError


_ROWS = 65_536  # of a Parquet file read at a time
_BYTES = 1 << 24  # of a CSV file read at a time
_types = pa.types
_NUMBERS = (_types.is_integer, _types.is_floating, _types.is_boolean, _types.is_null)


@dataclass(frozen=True)
class Rows:
    """Numbers in a file.

    Attributes:
        values: An array that is read from its file where it is used.
        names: One name per column.
    """

    values: Float32[np.memmap, "n d"]
    names: tuple[str, ...]


def rows_of(path: str | Path, folder: str | Path, *, drop: Sequence[str] = ()) -> Rows:
    """Turn a CSV, TSV or Parquet file into an array in a file, some rows at a time.

    The array is float32 and takes `4 n d` bytes on disk; the memory used does not grow with
    the number of rows. Detectors of rows fit and score it like any other array.

    Args:
        path: A file that ends in `.csv`, `.tsv`, `.parquet` or `.pq`.
        folder: Where to put the array, under the file's name and `.f32`; one that is there
            is written again.
        drop: Columns to leave out.

    Returns:
        The array and the names of its columns.

    Raises:
        DataError: If the file cannot be read, or holds something else than finite numbers.
    """
    file = existing(path, "file")
    try:
        schema = _schema(file)
        names = _names(file, schema, drop)
        target = Path(folder) / f"{file.stem}.f32"
        target.parent.mkdir(parents=True, exist_ok=True)
        n = _write(target, names, _batches(file, names))
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{str(file)!r} cannot be read as a table of numbers: {error}."
        ) from error
    if n == 0:
        raise DataError(f"{str(file)!r} has no rows.")
    return Rows(np.memmap(target, np.float32, "r", shape=(n, len(names))), names)


def _is_parquet(file: Path) -> bool:
    """Whether a file is Parquet, from its name.

    Raises:
        DataError: If it is neither that nor text.
    """
    if file.suffix.lower() not in (".csv", ".tsv", ".parquet", ".pq"):
        raise DataError(
            f"{str(file)!r} is not known to be a table that can be read in pieces. Such "
            "tables end in .csv, .tsv, .parquet or .pq; rename or convert the file."
        )
    return file.suffix.lower() in (".parquet", ".pq")


def _schema(file: Path) -> pa.Schema:
    if _is_parquet(file):
        with parquet.ParquetFile(file) as reader:
            return reader.schema_arrow
    with _text(file, csv.ConvertOptions()) as reader:
        return reader.schema


def _text(file: Path, convert: csv.ConvertOptions) -> csv.CSVStreamingReader:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    return csv.open_csv(
        file,
        read_options=csv.ReadOptions(block_size=_BYTES, use_threads=False),
        parse_options=csv.ParseOptions(delimiter=delimiter),
        convert_options=convert,
    )


def _names(file: Path, schema: pa.Schema, drop: Sequence[str]) -> tuple[str, ...]:
    """The columns to read.

    Raises:
        DataError: If one is no column of numbers, or two have the same name.
    """
    for name in drop:
        if name not in schema.names:
            raise DataError(f"{str(file)!r} has no column {name!r}; it has {schema.names}.")
    names = [name for name in schema.names if name not in drop]
    if not names or len(set(names)) < len(names):
        raise DataError(
            f"{str(file)!r} must have columns to read, each with a name of its own, got "
            f"{names}."
        )
    for name in names:
        kind = schema.field(name).type
        if not any(is_number(kind) for is_number in _NUMBERS):
            raise DataError(
                f"Column {name!r} of {str(file)!r} holds {kind}, not numbers. Turn it into "
                f"numbers, or leave it out with `drop=[{name!r}]`."
            )
    return tuple(names)


def _batches(file: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows in pieces.

    Yields:
        The named columns of some rows.
    """
    if _is_parquet(file):
        with parquet.ParquetFile(file) as reader:
            yield from reader.iter_batches(_ROWS, columns=list(names))
        return
    # The types that the first rows suggest may not fit the later ones.
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.float64()), include_columns=list(names)
    )
    with _text(file, convert) as reader:
        yield from reader


def _write(target: Path, names: Sequence[str], batches: Iterator[pa.RecordBatch]) -> int:
    """Append batches to a file, and count their rows.

    Raises:
        DataError: If a value is missing, infinite, or too large for float32.
    """
    n = 0
    with target.open("wb") as out:
        for batch in batches:
            block = np.empty((batch.num_rows, len(names)), dtype=np.float32)
            for i, name in enumerate(names):
                column = batch.column(name).cast(pa.float64(), safe=False)
                with np.errstate(over="ignore"):  # infinite then, and refused below
                    block[:, i] = column.to_numpy(zero_copy_only=False)
                bad = np.flatnonzero(~np.isfinite(block[:, i]))
                if len(bad):
                    raise DataError(
                        f"Column {name!r} has no finite value in row {n + bad[0]} (the "
                        "first is 0). Fill it in, delete the row, or leave the column out "
                        f"with `drop=[{name!r}]`."
                    )
            out.write(block.tobytes())
            n += len(block)
    return n
