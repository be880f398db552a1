"""Several runs on one page: what was set differently, and what came of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterplay.report import (
    compared_figures,
    figures,
    page,
    pictures,
    records,
    verdicts,
    words,
)
from counterplay.report.charts import Chart
from counterplay.report.records import Run


def build(folders: Sequence[Path | str], *, out: Path | str = "compare.html") -> Path:
    """Write a page that compares runs from the files of their folders.

    It holds everything it needs and asks the network for nothing.

    Args:
        folders: The run folders.
        out: Where to write.

    Returns:
        Where the page is.

    Raises:
        RunError: If a folder or a file in it cannot be read, or the page not written.
    """
    runs = [records.read(folder) for folder in folders]
    return page.write(Path(out), "compare.html", content(runs))


def content(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that the template prints."""
    named = dict(zip(_names(runs), runs, strict=True))
    charts = {chart.name: chart.markup() for chart in _charts(named)}
    return {
        "name": words.count(len(runs), "run"),
        "title": "How the runs compare",
        "runs": [_about(name, run) for name, run in named.items()],
        "charts": charts,
        "metrics": _metrics(named),
        "settings": _settings(runs),
        "names": list(named),
        "cleansed": [key for key in charts if key.startswith("cleansing_")],
    }


def _names(runs: Sequence[Run]) -> list[str]:
    """The folders' names, with as much of the paths as tells them apart."""
    parts = [run.folder.resolve().parts for run in runs]
    names = ["/".join(part) for part in parts]
    for depth in range(max(map(len, parts)), 0, -1):
        shorter = ["/".join(part[-depth:]) for part in parts]
        if len(set(shorter)) < len(set(names)):
            break
        names = shorter
    # The same run twice is compared with itself.
    again = [names[:i].count(name) for i, name in enumerate(names)]
    return [
        f"{name} ({n + 1})" if n else name for name, n in zip(names, again, strict=True)
    ]


def _about(name: str, run: Run) -> dict[str, Any]:
    fakes = page.in_order(run.folder, "fakes")
    tables = {key: run.recipe.get(key, {}) for key in ("game", "nets", "data", "play")}
    return {
        "name": name,
        "sample": pictures.embedded(fakes[-1]) if fakes else "",
        "what": f"{tables['game'].get('name', '?')} with {tables['nets'].get('name', '?')} "
        f"on {tables['data'].get('name', '?')}, {tables['play'].get('n_steps', 0):,} moves",
        "verdicts": verdicts.verdicts(run),
    }


def _metrics(named: Mapping[str, Run]) -> dict[str, Any]:
    """The last value of every metric, runs below each other."""
    columns: dict[str, bool | None] = {}
    rows = []
    for name, run in named.items():
        last = {
            key: value
            for row in run.log
            for key, value in row.items()
            if words.metric_part(key) and value is not None
        }
        columns |= dict.fromkeys((key for key in last if key not in columns), None)
        columns |= {
            influence.metric: influence.higher_is_better
            for influence in run.influences
            if influence.metric in last
        }
        rows.append({"name": name, "values": last})
    return {"columns": columns, "rows": [row for row in rows if row["values"]]}


def _settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The keys of the recipes that differ, each with its values."""
    flat = [
        {
            f"{table}.{key}": value
            for table, entries in run.recipe.items()
            for key, value in entries.items()
            if table != "run"
        }
        for run in runs
    ]
    keys = list(dict.fromkeys(key for settings in flat for key in settings))
    return [
        {"key": key, "values": values}
        for key in keys
        for values in [[_text(settings.get(key)) for settings in flat]]
        if len(set(values)) > 1
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else str(value)


def _charts(named: Mapping[str, Run]) -> list[Chart]:
    found = []
    logs = {
        name: run.log
        for name, run in named.items()
        if any(words.metric_part(key) for row in run.log for key in row)
    }
    if logs:
        text = (
            f"Metrics over the moves, of {', '.join(logs)}. The table has the last values."
        )
        found.append(Chart("metrics", compared_figures.metric_curves(logs), text))
    cleansings = {name: run.cleansing for name, run in named.items() if _is_cleansed(run)}
    metrics = {m: None for one in cleansings.values() for m in one["seeds"][0]["after"]}
    for metric in metrics:
        measured = [
            n for n, one in cleansings.items() if metric in one["seeds"][0]["after"]
        ]
        text = f"Gain in {words.metric_title(metric)} against the share removed, of "
        figure = compared_figures.cleansing_curves(cleansings, metric)
        found.append(Chart(f"cleansing_{metric}", figure, text + ", ".join(measured)))
    return found


def _is_cleansed(run: Run) -> bool:
    return bool(run.cleansing) and bool(
        figures.emphasised(run.cleansing["seeds"][0]["methods"])
    )
