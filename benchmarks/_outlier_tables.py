"""The detectors of `outlier_tables.py`, run in the environment that has them all."""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from pyod.models.ecod import ECOD
from pyod.models.knn import KNN
from pyod.models.mo_gaal import MO_GAAL
from pyod.models.so_gaal import SO_GAAL
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import minmax_scale

from counterplay.estimators import MOGAAL, SOGAAL


Scores = dict[str, np.ndarray]  # high for outlying, by the name of the result


def ours(kind: type, **options: str) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda X, seed: kind(random_state=seed, **options).fit(X).outlier_scores_


def forest(X: np.ndarray, seed: int) -> np.ndarray:
    return -IsolationForest(random_state=seed).fit(X).score_samples(X)


def pyod(make: Callable) -> Callable[[np.ndarray, int], np.ndarray]:
    def scores(X: np.ndarray, seed: int) -> np.ndarray:
        torch.manual_seed(seed)  # PyOD's detectors take no seed
        with contextlib.redirect_stdout(io.StringIO()):
            return make().fit(X).decision_scores_

    return scores


DETECTORS = {
    "MO-GAAL": ours(MOGAAL),
    "SO-GAAL": ours(SOGAAL),
    "MO-GAAL, stopped by agreement": ours(MOGAAL, n_active="agreement"),
    "SO-GAAL, stopped by agreement": ours(SOGAAL, n_active="agreement"),
    "Isolation Forest": forest,
    "ECOD": pyod(ECOD),
    "KNN": pyod(KNN),
    "PyOD MO-GAAL": pyod(MO_GAAL),
    "PyOD SO-GAAL": pyod(SO_GAAL),
}
DETERMINISTIC = ("ECOD", "KNN")
UPSIDE_DOWN = ("PyOD MO-GAAL", "PyOD SO-GAAL")


def rows_of(method: str, X: np.ndarray, y: np.ndarray, seed: int) -> Iterator[dict]:
    begin = time.process_time()
    scores = DETECTORS[method](X, seed)
    cpu = time.process_time() - begin
    versions = {method: scores}
    if method in UPSIDE_DOWN:
        versions[f"{method}, sign corrected"] = -scores
    for name, value in versions.items():
        yield {
            "method": name,
            "auc": roc_auc_score(y, value),
            "ap": average_precision_score(y, value),
            "cpu": cpu,
        }


def wanted(name: str, parts: list[str]) -> bool:
    return not parts or any(part.lower() in name.lower() for part in parts)


def main() -> None:
    chosen = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    path = Path(chosen["rows"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    known = {
        (row["table"], row["seed"], row["method"])
        for row in map(json.loads, path.read_text().splitlines())
    }
    for file in sorted(
        Path(chosen["folder"]).glob("*.npz"), key=lambda f: f.stat().st_size
    ):
        if not wanted(file.stem, chosen["tables"]):
            continue
        with np.load(file) as table:
            X, y = minmax_scale(table["X"].astype(np.float32)), table["y"].ravel()
        for method in DETECTORS:
            if not wanted(method, chosen["methods"]):
                continue
            for seed in range(1 if method in DETERMINISTIC else chosen["seeds"]):
                if (file.stem, seed, method) in known:
                    continue
                found = list(rows_of(method, X, y, seed))
                with path.open("a") as lines:
                    for row in found:
                        entry = {"table": file.stem, "seed": seed, **row}
                        lines.write(json.dumps(entry) + "\n")
                aucs = " ".join(f"{row['auc']:.3f}" for row in found)
                print(file.stem, method, seed, aucs, flush=True)


if __name__ == "__main__":
    main()
