"""The table of docs/games.md is what the files say; run this file to write it again."""

import importlib
import inspect
import re

import pages

from counterplay import games


def written():
    rows = ["| game | networks | reads | what it is | source |", "|---|---|---|---|---|"]
    for name in games.names():
        module = importlib.import_module(f"counterplay.games.{name}")
        text = inspect.getdoc(module) or ""
        parameters = inspect.signature(games.load(name)).parameters.values()
        networks = [f"`{p.name}`" for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        columns = re.findall(r"(?:^|; )(\w+), ", section(text, "Columns"))
        source = section(text, "Source").split(", arXiv")
        number = re.search(r"[\d.]+", source[1]) if len(source) > 1 else None
        cited = f"{source[0]}, arXiv {number[0].rstrip('.')}" if number else source[0]
        what = text.splitlines()[0]
        rows.append(
            f"| `{name}` | {', '.join(networks)} | {', '.join(columns)} | {what} | {cited} |"
        )
    return "\n".join(rows) + "\n"


def section(text, name):
    """A section of a module's docstring on one line."""
    found = re.search(rf"^{name}: (.*?)(?=^\w+: |\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def test_the_table_holds_every_game():
    assert pages.table_of("games.md") == written()


if __name__ == "__main__":
    pages.rewrite("games.md", written())
