"""Does our trace equal Bergson's MAGIC where MAGIC is defined: one model and one loss?

A classifier of scikit-learn's digits is a game of one player here. Both sides start from
the same parameters, read the same batches in the same order and are asked for the
derivative of the held-out loss by the weight of every training instance. Bergson runs in
its own environment, by its low-level `Trainer` and `BackwardState`. One thread, CPU
seconds after a warm-up, both sides in turn in every round, medians.

Run: python benchmarks/attribution_peers/magic.py [--cache FOLDER] [--rounds 3]
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from _environments import CACHE, interpreter, run
from _one_player import columns, SEED

from counterplay import data, nets
from counterplay._trajectory import make_plan


TITLE = "Our trace against Bergson's MAGIC"
N_CLASSES = 10


@dataclass(frozen=True)
class Case:
    """One classifier and how it is trained."""

    optimizer: str
    options: dict = field(default_factory=dict)
    width: int = 64
    n_steps: int = 400
    batch_size: int = 64
    dtype: torch.dtype = torch.float64

    def __str__(self) -> str:
        options = ", ".join(f"{k} {v}" for k, v in self.options.items())
        kind = str(self.dtype).removeprefix("torch.")
        return f"{self.optimizer}, {options} | {self.width} | {self.n_steps} | {kind}"

    def write(self, path: Path) -> None:
        """Everything that both sides read: module, data and the order of the batches."""
        splits = data.digits()
        train, valid = splits.train.to(dtype=self.dtype), splits.valid.to(dtype=self.dtype)
        torch.manual_seed(SEED)
        module = nets.mlp(64, N_CLASSES, width=self.width).to(self.dtype)
        x, y = train["x"].flatten(1), train["y"]
        plan = make_plan(columns(x, y), batch_size=self.batch_size, seed=SEED)
        torch.save(
            {
                "module": module,
                "x": x,
                "y": y,
                "test_x": valid["x"].flatten(1),
                "test_y": valid["y"],
                "order": torch.stack([plan.index(i) for i in range(self.n_steps)]),
                "optimizer": self.optimizer,
                "options": self.options,
            },
            path,
        )


ADAM = {"lr": 2e-3, "eps": 1e-8, "eps_root": 1e-8}
CASES = [
    Case("sgd", {"lr": 0.1}),
    Case("sgd", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    Case("adam", ADAM),
    Case("adamw", {**ADAM, "weight_decay": 1e-2}),
    Case("adamw", {**ADAM, "weight_decay": 1e-2}, width=512, batch_size=128),
    Case("adamw", {**ADAM, "weight_decay": 1e-2}, width=512, dtype=torch.float32),
]
TITLES = (
    "optimizer | width | moves | dtype | difference of final parameters | of gradients | "
    "CPU s of training, ours / theirs | of tracing | peak MiB, ours / theirs | "
    "above imports"
)


def measured(
    case: Path, folder: Path, theirs: Path, rounds: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Results of both sides; costs are medians over rounds.

    Raises:
        RuntimeError: If a side fails.
    """
    found: list[list[dict[str, np.ndarray]]] = [[], []]
    sides = (
        (sys.executable, "_one_player.py"),
        (theirs, "_bergson.py"),
    )
    for _ in range(rounds):
        for results, (python, script) in zip(found, sides, strict=True):
            out = folder / "out.npz"
            outcome = run(python, script, str(case), str(out), log=folder / "log.txt")
            if outcome.reason:
                raise RuntimeError(outcome.reason)
            with np.load(out) as file:
                results.append(dict(file))
    for results in found:
        for cost in ("training", "tracing", "peak", "added"):
            results[0][cost] = np.array(statistics.median(float(r[cost]) for r in results))
    return found[0][0], found[1][0]


def cells(case: Case, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> str:
    """One row of the table."""
    row = [str(case)]
    for name in ("final", "gradient"):
        if not np.isfinite(theirs[name]).all():
            kept = np.isfinite(ours[name]).all()
            row.append(f"theirs holds NaN, ours {'does not' if kept else 'too'}")
            continue
        scale = np.abs(theirs[name]).max()
        row.append(f"{np.abs(ours[name] - theirs[name]).max() / scale:.1e}")
    for cost in ("training", "tracing", "peak", "added"):
        a, b = float(ours[cost]), float(theirs[cost])
        row.append(f"{a:.3g} / {b:.3g} = {a / b:.2f}")
    return " | ".join(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    python = interpreter("bergson", chosen.cache)
    print(f"| {TITLES} |\n|{'---|' * (TITLES.count('|') + 1)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in CASES:
            case.write(folder / "case.pt")
            ours, theirs = measured(folder / "case.pt", folder, python, chosen.rounds)
            print(f"| {cells(case, ours, theirs)} |", flush=True)


if __name__ == "__main__":
    main()
