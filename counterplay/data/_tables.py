"""Tables in files: CSV, TSV and Parquet."""

from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from counterplay.errors import DataError


def read_table(file: Path) -> pa.Table:
    """The table in a file.

    Args:
        file: Its name ends in `.csv`, `.tsv`, `.parquet` or `.pq`; `.csv.gz` works too.

    Returns:
        Every column, of the type that its values have.

    Raises:
        DataError: If the file cannot be read as a table.
    """
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    try:
        if kind in (".parquet", ".pq"):
            return parquet.read_table(file)
        if kind in (".csv", ".tsv"):
            return csv.read_csv(
                file,
                parse_options=csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ","),
                convert_options=csv.ConvertOptions(strings_can_be_null=True),
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{str(file)!r} cannot be read as a table: {error}.") from error
    raise DataError(
        f"{str(file)!r} is not known to be a table. Tables end in .csv, .tsv, .parquet or "
        ".pq; rename or convert the file."
    )
