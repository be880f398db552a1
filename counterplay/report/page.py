"""One self-contained page about a run: what was done and found, and whether it is so."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from torch import Tensor

from counterplay._atomic import write_atomically
from counterplay._drift import summary
from counterplay._influence import Influence
from counterplay.data.splits import Scaling
from counterplay.game import Columns
from counterplay.report import charts, figures, gallery, pictures, records, verdicts, words
from counterplay.report.records import Run


_FILES = {
    "run.toml": "every setting of the run",
    "log.csv": "losses and metrics over the moves",
    "scores.csv": "one row per instance",
    "scores.parquet": "the same, for data frames",
    "verify.csv": "agreement with retraining",
    "cleansing.csv": "metrics after removal, per seed",
}
_MADE = {
    "interpolations": "from one latent to another, a pair per row",
    "reconstructions": "validation images, and below each what the game makes of it",
}


def build(
    folder: Path | str,
    *,
    data: Columns | None = None,
    samples: Tensor | None = None,
    scaling: Scaling | None = None,
    n_instances: int = gallery.N_SHOWN,
    out: Path | str | None = None,
) -> Path:
    """Write `report.html` from the files of a run folder.

    The page shows what there is and names the command that makes the rest. It holds
    everything it needs and asks the network for nothing.

    Args:
        folder: The run folder.
        data: The training set of the run; with it the page shows instances as pictures.
        samples: What the run generates, rows like column `"x"`; with them the page shows
            the samples that an instance is nearest to.
        scaling: How the rows of a table were made from measured values.
        n_instances: Instances to show, from both ends of the ranking by every metric.
        out: Where to write instead.

    Returns:
        Where the page is.

    Raises:
        RunError: If the folder or a file in it cannot be read, or the page not written.
    """
    run = records.read(folder)
    shown = gallery.content(run, data, n=n_instances, samples=samples, scaling=scaling)
    path = run.folder / "report.html" if out is None else Path(out)
    return write(path, "page.html", content(run, shown))


def write(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Write a page that needs no other file."""
    scripts = ["page.js", *(["gallery.js"] if content.get("rankings") else [])]
    look = {"style": _asset("page.css"), "script": Markup("\n").join(map(_asset, scripts))}
    page = _environment().get_template(template).render({**content, **look})
    write_atomically(path, page.encode())
    return path


def save_figures(folder: Path | str) -> list[Path]:
    """Write every figure of the page to `figures/`, as SVG and PNG.

    Raises:
        RunError: If the folder or a file in it cannot be read.
    """
    run = records.read(folder)
    return [
        path
        for name, chart in charts.draw(run).items()
        for path in figures.save(chart.figure, run.folder / "figures" / name)
    ]


def content(run: Run, instances: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template prints.

    Args:
        run: The run.
        instances: Its gallery, see `gallery.content`.
    """
    drawn = charts.draw(run)
    n = instances["n"] or len(run.scores)
    return {
        "name": run.folder.resolve().name,
        "title": _title(n),
        "summary": _summary(run, n),
        "verdicts": verdicts.verdicts(run),
        "facts": _facts(run, n),
        "charts": {name: chart.markup() for name, chart in drawn.items()},
        "samples": _samples(run.folder),
        "cleansed": _cleansed(run.folder),
        "rankings": [_ranking(run, influence) for influence in run.influences],
        "instances": instances,
        "verified": [_verified(entry) for entry in run.verified],
        "cleansing": _cleansing(run.cleansing),
        "detection": _detection(run.detection, n),
        "planted": bool(run.recipe.get("corrupt")),
        "rounds": [_round(number, r) for number, r in enumerate(run.rounds, 1)],
        "settings": tomli_w.dumps(dict(run.recipe)) if run.recipe else "",
        "files": {f: what for f, what in _FILES.items() if (run.folder / f).exists()},
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("counterplay", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "embedded": gallery.embedded,
        "number": words.number,
        "signed": lambda value: words.number(value, signed=True),
        "agreement": words.agreement,
        "coded": words.coded,
        "percent": words.percent,
        "p_value": words.p_value,
        "metric_name": words.metric_name,
        "metric_title": words.metric_title,
        "method_name": words.method_name,
    }
    return environment


def _asset(name: str) -> Markup:
    # Our own files; everything else that reaches the page is escaped.
    return Markup((resources.files("counterplay.report") / name).read_text("utf-8"))


def _title(n: int) -> str:
    return f"What {n:,} instances did to a model" if n else "What happened in this run"


def _summary(run: Run, n: int) -> list[str]:
    """What was done, in plain sentences."""
    recipe = run.recipe
    if not recipe:
        return []
    data, game, play = (recipe.get(name, {}) for name in ("data", "game", "play"))
    size = words.count(n, "training instance") if n else "all training instances"
    sentences = [
        f"The game {game.get('name', '?')} was played with "
        f"{recipe.get('nets', {}).get('name', '?')} networks on {size} of "
        f"{data.get('name', '?')}: {play.get('n_steps', 0):,} moves of "
        f"{play.get('batch_size', 0)} instances each, seed {play.get('seed', 0)}."
    ]
    if corrupt := recipe.get("corrupt"):
        sentences.append(
            f"Of the training instances, {words.percent(corrupt.get('fraction', 0))} were "
            f"replaced on purpose (kind: {corrupt.get('kind', '?')}), to see whether they "
            "are found; they are marked as planted."
        )
    if run.influences:
        sentences.append(
            "Then the run was traced backwards: for every instance, what would the metric "
            "have become without it?"
        )
        sentences += [drift for drift in [summary(run.influences[0].drift)] if drift]
    return sentences


def _facts(run: Run, n: int) -> list[dict[str, str]]:
    """The few numbers that sum up the run."""
    facts = []
    if n:
        facts.append({"value": f"{n:,}", "what": "training instances"})
    for influence in run.influences:
        better = "higher" if influence.higher_is_better else "lower"
        facts.append({
            "value": words.number(influence.value),
            "what": f"{words.metric_title(influence.metric)}, {better} is better",
        })  # fmt: skip
    for comparison in _headline(run.cleansing):
        facts.append({
            "value": words.number(comparison["gain"]["value"], signed=True),
            "what": f"gain in {words.metric_title(comparison['metric'])} after removing "
            f"{words.percent(comparison['fraction'])}, {_certainty(run, comparison)}",
        })  # fmt: skip
    return facts


def _certainty(run: Run, comparison: Mapping[str, Any]) -> str:
    n, gain = len(run.cleansing["seeds"]), comparison["gain"]
    if n < 2:
        return "one seed"
    low, high = (words.number(gain[end], signed=True) for end in ("low", "high"))
    return f"95 % interval {low} to {high} over {n} seeds"


def _headline(cleansing: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not cleansing:
        return []
    chief = figures.emphasised(cleansing["seeds"][0]["methods"])
    return [
        c for c in cleansing["comparisons"]
        if c["method"] == chief and c["metric"] != cleansing["chosen_by"]
    ]  # fmt: skip


def _samples(folder: Path) -> list[dict[str, str]]:
    fakes = in_order(folder, "fakes")
    shown = [("real instances", folder / "reals.png")]
    for path in dict.fromkeys([*fakes[:1], *fakes[-1:]]):
        move = path.stem.removeprefix("fakes_")
        shown.append((f"generated, {int(move):,} moves" if move.isdigit() else move, path))
    for kind, caption in _MADE.items():
        shown += [(caption, path) for path in in_order(folder, kind)[-1:]]
    return _pictures(shown)


def in_order(folder: Path, kind: str) -> list[Path]:
    """The grids of a kind by their moves."""
    return sorted(
        folder.glob(f"{kind}_*.png"), key=lambda path: (len(path.stem), path.stem)
    )


def _cleansed(folder: Path) -> list[dict[str, str]]:
    return _pictures([
        ("before cleansing", folder / "cleansed" / "before.png"),
        ("after cleansing, same latents", folder / "cleansed" / "fakes.png"),
    ])  # fmt: skip


def _pictures(shown: Sequence[tuple[str, Path]]) -> list[dict[str, str]]:
    return [
        {"src": pictures.embedded(path), "caption": caption}
        for caption, path in shown
        if path.exists()
    ]


def _ranking(run: Run, influence: Influence) -> dict[str, Any]:
    return {
        "metric": influence.metric,
        "value": influence.value,
        "higher_is_better": influence.higher_is_better,
        "n": int((~influence.harm.isnan()).sum()),
        "judged": verdicts.of(run, influence),
    }


def _verified(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metric": entry["metric"],
        "n": len(entry["instances"]),
        "rows": [{**row, "changed": figures.change(row)} for row in entry["rows"]],
        "several": len({row["adjoint"] for row in entry["rows"]}) > 1,
    }


def _cleansing(cleansing: Mapping[str, Any]) -> dict[str, Any]:
    """Per metric, each method's gain and the advantage of the influence over it."""
    if not cleansing:
        return {}
    chief = figures.emphasised(cleansing["seeds"][0]["methods"])
    tables: dict[str, list[dict[str, Any]]] = {}
    for comparison in cleansing["comparisons"]:
        tables.setdefault(comparison["metric"], []).append(
            {**comparison, "chief": comparison["method"] == chief, "advantage": None}
        )
    for rows in tables.values():
        for chosen in (row for row in rows if row["chief"]):
            for row in rows:
                row["advantage"] = chosen["against"].get(row["method"])
    return {
        "n_seeds": len(cleansing["seeds"]),
        "chosen_by": cleansing["chosen_by"],
        "chief": chief,
        "tables": tables,
    }


def _detection(detection: Mapping[str, Any], n: int) -> dict[str, Any]:
    if not detection:
        return {}
    rows = sorted(detection["precision"].items(), key=lambda item: -item[1])
    return {**detection, "rows": rows, "chance": detection["n_planted"] / n if n else None}


def _round(number: int, found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "number": number, "n_removed": len(found["removed"])}
