"""What the user sees: bars and tables on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table


WIDTH = 120  # of tables in files and pipes


class Advance(Protocol):
    """Shows how much is done, and a note beside it."""

    def __call__(self, done: int, note: str = "") -> None: ...


@contextmanager
def stage(title: str, total: int | None = None) -> Iterator[Advance]:
    """Show that something is being done: a bar on a terminal, and one line when it is over.

    Yields:
        A function to call with how much is done.
    """
    console = Console(stderr=True)
    began = time.monotonic()
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(title, total=total, note="")
            yield lambda done, note="": bar.update(task, completed=done, note=note)
    else:
        yield lambda done, note="": None
    console.print(f"{escape(title)}: {time.monotonic() - began:.0f} s", soft_wrap=True)


def say(text: str) -> None:
    """Print a result."""
    _output().print(escape(text), soft_wrap=True, highlight=False)


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows below a title, numbers to four digits and to the right."""
    found = Table()
    for name in rows[0] if rows else ():
        number = all(isinstance(row[name], (int, float)) for row in rows)
        found.add_column(escape(str(name)), justify="right" if number else "left")
    for row in rows:
        found.add_row(*(escape(_text(value)) for value in row.values()))
    output = _output()
    output.print(f"\n{escape(title)}", style="bold", soft_wrap=True)
    output.print(found)


def _output() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        # On a narrow terminal the note is cut off, not the numbers beside the bar.
        TextColumn(
            "{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True)
        ),
        console=console,
        expand=True,
        transient=True,
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
