"""Who finds the faults in series: MAD-GAN, an LSTM autoencoder, or what is far simpler?

Every detector learns from the same stretches of normal operation with its default settings
and scores every row of the same test series; labels are only looked at afterwards. ROC-AUC
and average precision are of single rows, VUS-PR is for stretches. The best F1 takes the
labels to choose a threshold; its point-adjusted form rewards chance and is there to be
compared with the literature.

Data: `synthetic` is made here. `skab` reads skab.parquet (columns file, datetime, eight
sensors, anomaly): the first 400 rows of every experiment are learnt from, one model for
all. `msl` and `smap` read *_telemanom.npz (NAME_train, NAME_test, NAME_label): one model
per channel, of its telemetry alone. Every row of the result is kept as it comes: called
again, the same command goes on.

Run: python benchmarks/series_anomalies.py --data synthetic [--seeds 3]
     python benchmarks/series_anomalies.py --data skab --folder FOLDER
     python benchmarks/series_anomalies.py --data msl --folder FOLDER [--channels 5]
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from _range_aware import best_f1, vus_pr
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import MinMaxScaler
from torch import nn

from counterplay import data
from counterplay.estimators.mad_gan import MADGAN
from counterplay.estimators.window_pca import WindowPCA
from counterplay.nets import lstm_generator


N_NORMAL = 400  # rows of a SKAB experiment before anything happens
MEASURES: dict[str, Callable] = {
    "ROC-AUC": lambda scores, labels: roc_auc_score(labels, scores),
    "AUC-PR": lambda scores, labels: average_precision_score(labels, scores),
    "VUS-PR": vus_pr,
    "best F1": best_f1,
    "adjusted": lambda scores, labels: best_f1(scores, labels, adjusted=True),
}
Scores = dict[str, np.ndarray]


class Task(NamedTuple):
    name: str
    train: list[np.ndarray]
    test: list[np.ndarray]
    labels: np.ndarray
    seeds: range


def synthetic(chosen: argparse.Namespace) -> Iterator[Task]:
    for seed in range(chosen.seeds):
        plant, own = data.oscillators(seed=seed), range(seed, seed + 1)
        yield Task("synthetic", [plant.train], [plant.test], plant.labels, own)


def skab(chosen: argparse.Namespace) -> Iterator[Task]:
    table = pq.read_table(chosen.folder / "skab.parquet")
    files = np.array(table["file"].to_pylist())
    others = ("file", "datetime", "anomaly", "changepoint")
    names = [name for name in table.column_names if name not in others]
    values = np.stack([table[name].to_numpy() for name in names], 1).astype(np.float64)
    labels = table["anomaly"].to_numpy()
    parts = [files == name for name in np.unique(files[~np.isnan(labels)])]
    yield Task(
        "skab",
        [values[part][:N_NORMAL] for part in parts],
        [values[part][N_NORMAL:] for part in parts],
        np.concatenate([labels[part][N_NORMAL:] for part in parts]).astype(int),
        range(chosen.seeds),
    )


def telemanom(chosen: argparse.Namespace) -> Iterator[Task]:
    with np.load(chosen.folder / f"{chosen.data}_telemanom.npz") as file:
        names = [key.removesuffix("_label") for key in file if key.endswith("_label")]
        for name in names[: chosen.channels]:
            train, test = (
                file[f"{name}_{part}"][:, :1].astype(np.float64)
                for part in ("train", "test")
            )
            labels = file[f"{name}_label"].astype(int)
            if 0 < labels.sum() < len(labels):
                yield Task(name, [train], [test], labels, range(chosen.seeds))


SOURCES = {"synthetic": synthetic, "skab": skab, "msl": telemanom, "smap": telemanom}


def forest(task: Task, seed: int) -> Scores:
    found = IsolationForest(random_state=seed).fit(np.concatenate(task.train))
    return {"isolation forest, rows": -found.score_samples(np.concatenate(task.test))}


def components(task: Task, seed: int) -> Scores:
    d = task.train[0].shape[1]
    found = {"PCA of windows": WindowPCA().fit(task.train).outlier_scores(task.test)}
    if d > 1:
        rows = WindowPCA(window=1, n_components=(d + 1) // 2).fit(task.train)
        found["PCA of rows"] = rows.outlier_scores(task.test)
    return found


def mad_gan(task: Task, seed: int) -> Scores:
    latent_dim = min(3, max(task.train[0].shape[1] // 2, 1))
    detector = MADGAN(latent_dim=latent_dim, random_state=seed).fit(task.train)
    scores = detector.scores(task.test)
    return {
        "MAD-GAN": scores.total,
        "its reconstruction": scores.parts["reconstruction"],
        "its discrimination": scores.parts["discrimination"],
    }


class Autoencoder(nn.Module):
    """An LSTM reads a window into its last state, another writes it from there."""

    def __init__(self, d: int, width: int = 32):
        super().__init__()
        self.reader = nn.LSTM(d, width, batch_first=True)
        self.writer = lstm_generator(width, d, width=width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (state, _) = self.reader(x)
        return self.writer(state[-1][:, None].expand(-1, x.shape[1], -1))


def autoencoder(task: Task, seed: int) -> Scores:
    torch.manual_seed(seed)
    window, d = 30, task.train[0].shape[1]
    scaler = MinMaxScaler((-1, 1)).fit(np.concatenate(task.train))
    cut = lambda x: torch.from_numpy(scaler.transform(x)).float().unfold(0, window, 1).mT
    train = torch.cat([cut(x) for x in task.train])
    network = Autoencoder(d)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(3_000):
        x = train[torch.randint(len(train), (64,))]
        optimizer.zero_grad()
        (network(x) - x).square().mean().backward()
        optimizer.step()
    scores = []
    for series in task.test:
        x, total, count = cut(series), torch.zeros(len(series)), torch.zeros(len(series))
        with torch.no_grad():
            errors = torch.cat([(network(p) - p).abs().mean(2) for p in x.split(1_024)])
        for at in range(window):
            total[at : at + len(x)] += errors[:, at]
            count[at : at + len(x)] += 1
        scores.append((total / count).numpy())
    return {"LSTM autoencoder": np.concatenate(scores)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=SOURCES, default="synthetic")
    parser.add_argument("--folder", type=Path, help="where the files of the others are")
    parser.add_argument("--channels", type=int, help="of msl and smap; all if left out")
    parser.add_argument("--seeds", type=int, default=3, help="of plants, or of detectors")
    parser.add_argument("--rows", type=Path, help="where rows are kept, of this data alone")
    chosen = parser.parse_args()
    if chosen.data != "synthetic" and chosen.folder is None:
        parser.error(f"--data {chosen.data} needs --folder")
    torch.set_num_threads(1)
    kept = chosen.rows or Path("build") / f"series_anomalies_{chosen.data}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    done = {(row["task"], row["seed"]) for row in _read(kept)}
    for task in SOURCES[chosen.data](chosen):
        for seed in task.seeds:
            if (task.name, seed) not in done:
                rows = list(measured(task, seed))
                with kept.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
                print(f"{task.name}, seed {seed}: done", flush=True)
    report(_read(kept))


def measured(task: Task, seed: int) -> Iterator[dict]:
    for detector in (forest, components, autoencoder, mad_gan):
        begin = time.process_time()
        for name, scores in detector(task, seed).items():
            values = {key: float(of(scores, task.labels)) for key, of in MEASURES.items()}
            cpu = time.process_time() - begin
            yield {
                "task": task.name, "seed": seed, "method": name, **values, "CPU s": cpu,
            }  # fmt: skip


def report(rows: list[dict]) -> None:
    columns = [*MEASURES, "CPU s"]
    found: dict[str, list[list[float]]] = defaultdict(list)
    for row in rows:
        found[row["method"]].append([row[name] for name in columns])
    print(f"{len({row['task'] for row in rows})} tasks")
    print(f"{'':24}" + "".join(f"{name:>18}" for name in columns))
    for name, of_method in sorted(found.items(), key=lambda item: -np.mean(item[1], 0)[1]):
        mean, deviation = np.mean(of_method, 0), np.std(of_method, 0)
        cells = [f"{m:.3f} +- {s:.3f}" for m, s in zip(mean, deviation, strict=True)]
        cells[-1] = f"{mean[-1]:.0f}"
        print(f"{name:24}" + "".join(f"{cell:>18}" for cell in cells))


def _read(kept: Path) -> list[dict]:
    return [json.loads(line) for line in kept.read_text().splitlines()]


if __name__ == "__main__":
    main()
