"""What the tests of the page put into run folders."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from counterplay._influence import Influence
from counterplay._verify import Agreement, Comparison, judge


N = 40
VALID, TEST = "valid_frechet_classifier_64", "test_frechet_classifier_64"
HOSTILE = "<b>.png"  # an id that is markup unless it is escaped
RECIPE = """
[data]
name = "digits"
[corrupt]
kind = "noise"
fraction = 0.1
[nets]
name = "mlp"
[game]
name = "gan"
[play]
n_steps = 300
batch_size = 8
seed = 3
"""


def verified(influence: Influence, *, noise: float) -> list[dict]:
    """The content of `verify.json` for predictions that are right up to `noise`."""
    random = np.random.default_rng(0)
    removal = influence.removal.numpy()[::2]
    wrong = noise * random.standard_normal(len(removal))
    comparisons = (
        Comparison(
            influence.adjoint, "instance", 0.1, 0.1 * removal, 0.1 * removal + wrong
        ),
        Comparison(influence.adjoint, "instance", 1.0, removal, removal + wrong),
        Comparison(
            influence.adjoint, "subset", 0.05, removal[:10], removal[:10] + wrong[:10]
        ),
    )
    verdict = {influence.adjoint: judge(comparisons, influence.adjoint)}
    found = Agreement(VALID, torch.arange(0, N, 2), comparisons, verdict)
    return [{
        "metric": found.metric,
        "instances": found.instances.tolist(),
        "comparisons": [
            {**asdict(c), "predicted": c.predicted.tolist(), "actual": c.actual.tolist()}
            for c in found.comparisons
        ],
        "rows": found.rows(),
        "verdict": {name: asdict(v) for name, v in found.verdict.items()},
    }]  # fmt: skip


def keep(folder: Path, *names: str) -> None:
    """Delete every file of a folder but these."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in names:
            path.unlink()
