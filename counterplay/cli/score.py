"""`counterplay score`."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg, Positional

from counterplay.cli import _options, _show
from counterplay.cli._folder import RunFolder


def score(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN")],
    *,
    metric: _options.Names = (),
    part: Literal["valid", "test"] = "test",
    output: Literal["table", "json", "csv"] = "table",
) -> None:
    """Measure the metrics of one or several runs.

    Args:
        runs: Run folders.
        metric: Metrics, see `counterplay list metrics`; if not given, those of each recipe,
            to trace and to report.
        part: Data to compare with.
        output: What to print.
    """
    rows: list[dict[str, object]] = []
    for path in runs:
        folder = RunFolder.open(path)
        recipe, game = folder.recipe, folder.recipe.make_game()
        names = metric or tuple(dict.fromkeys([*recipe.metric_names, *recipe.report_names]))
        final = folder.trajectory().final
        rows += [
            {
                "run": str(path),
                "metric": target.name,
                "value": target.value(final),
                "better": "higher" if target.higher_is_better else "lower",
            }
            for target in recipe.targets(game, part, names)
        ]
    if output == "json":
        print(json.dumps(rows, indent=1))
    elif output == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
    else:
        _show.table(f"Metrics against {part} data", rows)
