"""Writes the pages that the code itself holds: games, metrics, detectors and verbs.

They are made of docstrings, signatures, facts and results when the site is built.
"""

import importlib
import inspect
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File


ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))

from counterplay import estimators, games, metrics, nets  # noqa: E402


PARTS = ("Players", "Columns", "Source", "Differs")
PAGES = {"Games": "games.md", "Metrics": "metrics.md"}


def on_config(config):
    """Put the pages of each family behind the family's own in the navigation."""
    families = {"Games": games.names(), "Metrics": metrics.names()}
    for entry in config.nav:
        for title, children in entry.items():
            if title in families:
                folder = title.lower()
                children += [{name: f"{folder}/{name}.md"} for name in families[title]]
            elif title == "Detectors":
                children += [
                    {estimators.detector(name).__name__: f"detectors/{name}.md"}
                    for name in estimators.names()
                ]
    return config


def on_files(files, config):
    """Add the pages."""
    pages = {
        **{f"games/{name}.md": game(name) for name in games.names()},
        **{f"metrics/{name}.md": metric(name) for name in metrics.names()},
        **{f"detectors/{name}.md": detector(name) for name in estimators.names()},
        "command_line.md": command_line(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "contributing.md": contributing(),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown, page, **_):
    """Link CONTRIBUTING.md and the names in tables of games and metrics to their pages."""
    uri = page.file.src_uri
    up = "../" * uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)+CONTRIBUTING\.md", f"]({up}contributing.md", markdown)
    if uri not in PAGES.values():
        return markdown
    folder = uri.removesuffix(".md")
    return re.sub(r"^\| `(\w+)` \|", rf"| [`\1`]({folder}/\1.md) |", markdown, flags=re.M)


def game(name: str) -> str:
    """The page of a game."""
    module = importlib.import_module(f"counterplay.games.{name}")
    first, parts = parts_of(inspect.getdoc(module) or "")
    factory = games.load(name)
    networks = [
        p.name
        for p in inspect.signature(factory).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    facts = [f"| **{part}** | {cell(text)} |" for part, text in parts.items()]
    roles = ", ".join(f"`{network}`" for network in networks)
    return "\n\n".join(
        [
            f"# {name}",
            first,
            "\n".join(["| | |", "|---|---|", *facts, f"| **Networks** | {roles} |"]),
            "## Play it",
            played_by(name),
            measured(name),
            "## Signature and options",
            f"::: counterplay.games.{name}.{name}",
            "## The whole file",
            f'??? abstract "`counterplay/games/{name}.py`"\n\n'
            + indented(f"```py\n{inspect.getsource(module)}```"),
        ]
    )


def played_by(name: str) -> str:
    """The command line that plays a game, on digits if it can."""
    if name in estimators.names():
        label = estimators.detector(name).__name__
        return (
            f"It is the game of the detector [`{label}`](../detectors/{name}.md), which "
            "builds its networks and plays it."
        )
    words, note = "--data digits --nets mlp", ""
    if name in nets.names():
        words = f"--data digits --nets {name} --set data.size=16 nets.width=16"
    elif name == "lqgan":
        words = "--data 2d_normal --nets linear_quadratic"
    elif name == "cogan":
        words = "--data image_folder --set data.path=photos data.size=32 --nets dcgan"
        note = "\n\nwhere `photos` has two subfolders, one for each domain."
    return f"```\ncounterplay play --game {name} {words}\n```{note}"


def measured(name: str) -> str:
    """What the results have of a game, from every table of games."""
    text = (DOCS / "results.md").read_text()
    found = [
        part
        for heading in ("## Games", "### Every game")
        for table in tables(text, heading)
        if (part := of_game(name, table))
    ]
    link = "[Results](../results.md#games)"
    if not found:
        return f"## Measured\n\nNot part of the comparisons in {link}."
    return "\n\n".join(
        ["## Measured", *found, f"{link} says how, by which commands, and what else."]
    )


def tables(text: str, heading: str) -> list[list[str]]:
    """The tables of games below a heading, up to the next one of its rank."""
    rank = heading.split()[0]
    below = text[text.index(f"\n{heading}\n") + len(heading) + 2 :]
    below = re.split(rf"^{rank} ", below, maxsplit=1, flags=re.M)[0]
    every = re.findall(r"(?:^\|.*\n)+", below, flags=re.M)
    return [table.splitlines() for table in every if table.startswith("| game |")]


def of_game(name: str, table: list[str]) -> str:
    """The head of a table and a game's rows; one without a name is of the game before."""
    rows, own = [], False
    for row in table[2:]:
        first = row.split("|")[1].strip()
        own = first.startswith(f"`{name}`") if first else own
        rows += [row] if own else []
    found = "\n".join([*table[:2], *rows]) if rows else ""
    return found.replace("](#", "](../results.md#")


def metric(name: str) -> str:
    """The page of a metric."""
    facts = metrics.load(name)
    function = facts.function
    first = (inspect.getdoc(function) or "").split("\n")[0]
    low, high = (f"{bound:g}".replace("inf", "∞") for bound in facts.bounds)
    needs = {"classified": "features and a classifier's logits"}.get(
        facts.needs, facts.needs
    )
    compares = "nothing: only the samples count"
    if facts.reads_reference:
        compares = "training instances" if facts.reads_training else "held-out instances"
    rows = {
        "Better": "higher" if facts.higher_is_better else "lower",
        "Range": f"{low} to {high}",
        "Reads": needs,
        "Compares with": compares,
        "Fewest samples": str(facts.minimum_samples),
        "Gradient": "yes, so it can be traced"
        if facts.differentiable
        else "none: value only",
    }
    table = "\n".join(
        ["| | |", "|---|---|", *(f"| **{k}** | {v} |" for k, v in rows.items())]
    )
    commands = [f"counterplay score runs/0001-gan-digits --metric {name}"]
    if facts.differentiable:
        commands += [f"counterplay trace runs/0001-gan-digits --metric {name}"]
    return "\n\n".join(
        [
            f"# {name}",
            first,
            table,
            "## Use it",
            "```\n" + "\n".join(commands) + "\n```",
            "## Definition and options",
            f"::: {function.__module__}.{function.__name__}",
        ]
    )


def detector(name: str) -> str:
    """The page of a detector."""
    kind = estimators.detector(name)
    module = importlib.import_module(kind.__module__)
    first, parts = parts_of(inspect.getdoc(module) or "")
    guide = "../series.md" if name in ("mad_gan", "window_pca") else "../outliers.md"
    facts = [f"| **{part}** | {cell(text)} |" for part, text in parts.items()]
    table = "\n".join(["| | |", "|---|---|", *facts]) if facts else ""
    return "\n\n".join(
        [
            f"# {kind.__name__}",
            first,
            f"[How to use it]({guide}) has examples in Python and on the command line.",
            table,
            f"::: {kind.__module__}.{kind.__name__}\n"
            "    options: {inherited_members: true}",
        ]
    )


def command_line() -> str:
    """Every verb's help, as the snapshots have it."""
    texts = {path.stem: path.read_text() for path in sorted((DOCS / "cli").glob("*.txt"))}
    top = texts.pop("counterplay")
    verbs = (
        f"## {stem.replace('-', ' ')}\n\n```text\n{text}```" for stem, text in texts.items()
    )
    return "\n\n".join(["# Command line", f"```text\n{top}```", *verbs])


def contributing() -> str:
    """CONTRIBUTING.md, with links that work from a page of the site."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text.replace("](docs/", "](")


def parts_of(text: str) -> tuple[str, dict[str, str]]:
    """The first sentence of a module's docstring, and its named parts on one line each."""
    found = {}
    for part in PARTS:
        match = re.search(rf"^{part}: (.*?)(?=^[A-Z]\w+: |\n\n|\Z)", text, re.S | re.M)
        if match:
            found[part] = " ".join(match[1].split())
    return text.split("\n\n")[0].replace("\n", " "), found


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|")


def indented(text: str) -> str:
    """Text as the body of an admonition."""
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
