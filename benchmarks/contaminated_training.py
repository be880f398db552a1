"""Training rows hold outliers: does removing those that influence names mend the detector?

Of each table, three fifths of the normal rows are for training, with outliers added until
they are the asked share; a fifth of the normal rows and up to `--labels` other outliers are
labelled and used to choose; the rest is for the test. The same number of rows is removed by
each method: the harmful by influence on the smooth area under the ROC curve of the labelled
rows, those that the detector itself scores highest (self-cleaning), random ones, and, as a
bound, the outliers that were added. Every run is played again with the same seed.

Run: python benchmarks/contaminated_training.py --folder ADBENCH [--seeds 10]
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import MinMaxScaler

from counterplay._statistics import paired
from counterplay.baselines import random
from counterplay.estimators import MOGAAL, SOGAAL


TABLES = (
    "breastw", "cardio", "Cardiotocography", "Ionosphere",
    "PageBlocks", "Pima", "satellite", "thyroid",
)  # fmt: skip
ESTIMATORS = {"mo_gaal": MOGAAL, "so_gaal": SOGAAL}
CHOSEN = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="one .npz per table")
    parser.add_argument("--tables", nargs="*", default=TABLES, help="ends of their names")
    parser.add_argument("--shares", nargs="*", type=float, default=[0.05, 0.1])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--labels", type=int, default=50, help="labelled outliers")
    parser.add_argument("--rows", type=int, default=2_000, help="most rows for training")
    parser.add_argument("--estimator", choices=ESTIMATORS, default="mo_gaal")
    here = Path(__file__).parent.parent / "build" / "contaminated_training.jsonl"
    parser.add_argument("--out", type=Path, default=here)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.touch()
    rows = [json.loads(line) for line in chosen.out.read_text().splitlines()]
    known = {(row["table"], row["share"], row["seed"]) for row in rows}
    for name in chosen.tables:
        (file,) = chosen.folder.glob(f"*_{name}.npz")
        with np.load(file) as table:
            X, y = table["X"].astype(np.float32), table["y"].ravel().astype(int)
        for share in chosen.shares:
            for seed in range(chosen.seeds):
                if (name, share, seed) in known:
                    continue
                parts = divided(X, y, share, seed, chosen.labels, chosen.rows)
                for method, found in results(ESTIMATORS[chosen.estimator], parts, seed):
                    row = {"table": name, "share": share, "seed": seed, "method": method}
                    rows.append({**row, **found})
                    with chosen.out.open("a") as lines:
                        lines.write(json.dumps(rows[-1]) + "\n")
                print(name, share, seed, flush=True)
    for share in chosen.shares:
        report([row for row in rows if row["share"] == share], share)


def divided(
    X: np.ndarray, y: np.ndarray, share: float, seed: int, n_labels: int, n_rows: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rows and labels for training, choosing and the test."""
    rng = np.random.default_rng(seed)
    normal, odd = (rng.permutation(np.flatnonzero(y == label)) for label in (0, 1))
    n_normal = min(len(normal) * 3 // 5, round(n_rows * (1 - share)))
    n_odd = round(n_normal * share / (1 - share))
    n_odd = min(n_odd, len(odd) // 2)
    n_valid = min(n_labels, (len(odd) - n_odd) // 2)
    after = n_normal + len(normal) // 5
    rows = {
        "train": [*normal[:n_normal], *odd[:n_odd]],
        "valid": [*normal[n_normal:after], *odd[n_odd : n_odd + n_valid]],
        "test": [*normal[after:], *odd[n_odd + n_valid :]],
    }
    scaler = MinMaxScaler().fit(X[rows["train"]])
    return {part: (scaler.transform(X[index]), y[index]) for part, index in rows.items()}


def results(
    kind: type, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], seed: int
) -> list[tuple[str, dict[str, float]]]:
    """Per method the test's measures, of the run as it was and after removal."""
    X, y = parts["train"]
    detector = kind(random_state=seed).fit(X)
    n = max(1, int(y.sum()))
    influence = detector.influence(*parts["valid"])
    harm = {
        "influence": influence.harm,
        "self-cleaning": torch.from_numpy(np.asarray(detector.outlier_scores_, float)),
        "random": random(len(X), seed=seed),
        "the added outliers": torch.from_numpy(y.astype(float)),
    }
    found = [("nothing removed", quality(detector, parts["test"]))]
    for method, scores in harm.items():
        worst = scores.argsort(descending=True, stable=True)[:n].numpy()
        kept = np.ones(len(X))
        kept[worst] = 0
        cleansed = kind(random_state=seed).fit(X, weights=kept)
        right = {"outliers among the removed": float(y[worst].mean())}
        found.append((method, quality(cleansed, parts["test"]) | right))
    return found


def quality(detector: Any, part: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    scores = detector.outlier_scores(part[0])
    return {name: float(measure(part[1], scores)) for name, measure in CHOSEN.items()}


def report(rows: list[dict], share: float) -> None:
    """Print means over the seeds, gains, and paired tests over seeds."""
    tables, methods, seeds = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("table", "method", "seed")
    )
    for measure in CHOSEN:
        cube = np.full((len(methods), len(tables), len(seeds)), np.nan)
        for row in rows:
            at = (row["method"], row["table"], row["seed"])
            place = [n.index(v) for n, v in zip((methods, tables, seeds), at, strict=True)]
            cube[tuple(place)] = row[measure]
        print(f"\n{share:.0%} of the training rows are outliers; {measure} on the test\n")
        print(
            f"| method | mean | gain | p | against self-cleaning | {' | '.join(tables)} |"
        )
        print("|---" * (len(tables) + 5) + "|")
        over_tables = cube.mean(1)  # a seed's tables are one observation
        rival = over_tables[methods.index("self-cleaning")]
        for method, overall, each in zip(methods, over_tables, cube, strict=True):
            gain, lead = paired(overall, over_tables[0]), paired(overall, rival)
            cells = " | ".join(f"{value:.3f}" for value in each.mean(1))
            print(
                f"| {method} | {overall.mean():.3f} | {gain} | {gain.p_value:.1e} | "
                f"{lead.value:+.3f} (p {lead.p_value:.1e}) | {cells} |"
            )


if __name__ == "__main__":
    main()
