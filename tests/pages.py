"""Pages of the docs that hold a table which the package itself writes."""

from pathlib import Path


DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- table -->\n", "<!-- end -->\n"


def table_of(page: str) -> str:
    """The table between the markers of a page."""
    return _divided(page)[1]


def rewrite(page: str, table: str) -> None:
    """Put a table in the place of the one that is there."""
    before, _, after = _divided(page)
    (DOCS / page).write_text(before + BEGIN + table + END + after)


def _divided(page: str) -> tuple[str, str, str]:
    before, rest = (DOCS / page).read_text().split(BEGIN)
    table, after = rest.split(END)
    return before, table, after
