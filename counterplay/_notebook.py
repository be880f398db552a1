"""Results as data frames and as what a notebook shows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TYPE_CHECKING

import pyarrow as pa

from counterplay.errors import MissingExtraError


if TYPE_CHECKING:
    import pandas as pd

N_SHOWN = 10  # rows of a table in a notebook
Rows = Sequence[Mapping[str, Any]]


class Tabular(ABC):
    """A result that is a table, for whichever library of data frames."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """One row per thing that was found, for tables and files."""

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table, which Polars, DuckDB and pandas read as it is."""
        return pa.Table.from_pylist(self.rows())

    def to_frame(self) -> "pd.DataFrame":
        """The rows as a pandas data frame.

        Raises:
            MissingExtraError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError(
                "`to_frame` needs the package pandas. Install it by `pip install pandas`, "
                "or use `to_arrow()`, which Polars reads by `polars.from_arrow`."
            ) from error
        return pd.DataFrame(self.rows())


def card(title: str, facts: Mapping[str, Any], rows: Rows = (), note: str = "") -> str:
    """A title, what is known in one line, and a table, as HTML; everything is escaped."""
    line = " · ".join(f"{_text(name)}: {_text(value)}" for name, value in facts.items())
    parts = [f"<b>{_text(title)}</b>", f"<div>{line}</div>" if line else "", _table(rows)]
    return "".join([*parts, f"<p>{_text(note)}</p>" if note else ""])


def _table(rows: Rows) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{_text(name)}</th>" for name in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in row.values())}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: Any) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
