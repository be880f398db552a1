"""Who finds the outliers of 36 tables: our GAALs, PyOD's, or what people take instead?

Every detector fits and ranks the same rows, scaled to [0, 1] by column, with its default
settings; labels are only looked at afterwards. PyOD's two GAALs score the opposite of what
they promise, so they are shown as shipped and with the sign corrected. Rows are kept in a
file as they are found, and what is there is not computed again.

Run: python benchmarks/outlier_tables.py --folder ADBENCH [--seeds 5] [--tables cardio ...]
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from _critical_difference import draw, nemenyi
from _environment import made, run_in
from scipy.stats import rankdata


HERE = Path(__file__).parent
MEASURES = {"auc": "ROC-AUC", "ap": "average precision"}
RIVAL, OURS = "PyOD MO-GAAL, sign corrected", "MO-GAAL"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="one .npz per table")
    parser.add_argument("--tables", nargs="*", default=[], help="parts of their names")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=[], help="parts of their names")
    build = HERE.parent / "build"
    parser.add_argument("--environment", type=Path, default=build / "outlier_peers")
    parser.add_argument("--rows", type=Path, default=build / "outlier_tables.jsonl")
    parser.add_argument("--figure", type=Path, help="where the diagram of ranks is drawn")
    chosen = parser.parse_args()
    python = made(chosen.environment, HERE / "outlier_peers.txt")
    run_in(
        python, HERE / "_outlier_tables.py",
        json.dumps(
            {
                "folder": str(chosen.folder),
                "tables": chosen.tables,
                "seeds": chosen.seeds,
                "methods": chosen.methods,
                "rows": str(chosen.rows),
            }
        ),
    )  # fmt: skip
    report([json.loads(line) for line in chosen.rows.read_text().splitlines()], chosen)


def report(rows: list[dict], chosen: argparse.Namespace) -> None:
    """Print every table's means over the seeds, the mean ranks, and who beats whom."""
    found = defaultdict(list)
    for row in rows:
        if row["seed"] < chosen.seeds:
            found[row["table"], row["method"]].append(row)
    tables = sorted({table for table, _ in found})
    methods = list(dict.fromkeys(row["method"] for row in rows))
    complete = [t for t in tables if all((t, m) in found for m in methods)]
    for measure, name in MEASURES.items():
        means = np.array([[_mean(found[t, m], measure) for m in methods] for t in complete])
        _print_table(f"{name}, mean over seeds", complete, methods, means)
        ranks = rankdata(-means, axis=1).mean(0)
        critical = nemenyi(len(methods), len(complete))
        print(f"\nMean rank by {name}; differences below {critical:.2f} may be chance.\n")
        for at in np.argsort(ranks):
            print(f"| {methods[at]} | {ranks[at]:.2f} | {means[:, at].mean():.3f} |")
        if measure == "auc" and chosen.figure:
            draw(dict(zip(methods, ranks, strict=True)), critical, chosen.figure)
        if {OURS, RIVAL} <= set(methods):
            ours, theirs = means[:, methods.index(OURS)], means[:, methods.index(RIVAL)]
            print(
                f"\n{OURS} is ahead of {RIVAL} on {(ours > theirs).sum()} of {len(ours)}."
            )
    _print_costs(found, complete, methods)


def _mean(rows: list[dict], measure: str) -> float:
    return float(np.mean([row[measure] for row in rows]))


def _print_table(
    title: str, tables: list[str], methods: list[str], values: np.ndarray
) -> None:
    print(f"\n{title}\n\n| table | {' | '.join(methods)} |")
    print("|---" * (len(methods) + 1) + "|")
    for table, row in zip(tables, values, strict=True):
        print(f"| {table} | {' | '.join(f'{value:.3f}' for value in row)} |")


def _print_costs(found: dict, tables: list[str], methods: list[str]) -> None:
    """CPU time of a fit and the scores, in units of ours: the median over the tables."""
    if OURS not in methods:
        return
    print(f"\nCPU time in units of {OURS}'s, median over tables [lowest, highest]\n")
    for method in methods:
        ratios = [
            _mean(found[t, method], "cpu") / _mean(found[t, OURS], "cpu") for t in tables
        ]
        low, middle, high = np.quantile(ratios, [0, 0.5, 1])
        print(f"| {method} | {middle:.2f} [{low:.2f}, {high:.2f}] |")


if __name__ == "__main__":
    main()
