"""A small run folder, written by hand, with everything that a page can show."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from counterplay._cleanse import Cleansing, compare
from counterplay._influence import Influence
from counterplay._verify import Agreement, Comparison, judge
from counterplay.game import Columns


N = 40
VALID, TEST = "valid_frechet_classifier_64", "test_frechet_classifier_64"
HOSTILE = "<b>.png"
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


@pytest.fixture
def data() -> Columns:
    """Tiny grey images; the first id would be markup if it were not escaped."""
    x = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ids = (HOSTILE, *(f"digit-{i}.png" for i in range(1, N)))
    y = torch.arange(N) % 3
    return Columns({"x": x, "y": y}, ids, kind="image", class_names=("a", "b", "c"))


@pytest.fixture
def influence(data) -> Influence:
    """Evenly spread effects; instance 0 is the most harmful."""
    gradient = torch.linspace(1.0, -1.0, N, dtype=torch.float64)
    return Influence(
        metric=VALID,
        higher_is_better=False,
        value=12.5,
        gradient=gradient,
        weights=torch.ones(N, dtype=torch.float64),
        ids=data.ids,
        adjoint="Unroll(last=None)",
    )


def agreement(influence: Influence, *, noise: float) -> Agreement:
    """Predictions that are right up to `noise`."""
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
    return Agreement(VALID, torch.arange(0, N, 2), comparisons, verdict)


def as_json(found: Agreement) -> list[dict]:
    """The content of `verify.json`."""
    comparisons = [
        {**asdict(c), "predicted": c.predicted.tolist(), "actual": c.actual.tolist()}
        for c in found.comparisons
    ]
    return [{
        "metric": found.metric,
        "instances": found.instances.tolist(),
        "comparisons": comparisons,
        "rows": found.rows(),
        "verdict": {name: asdict(v) for name, v in found.verdict.items()},
    }]  # fmt: skip


@pytest.fixture
def cleansing() -> dict:
    """The content of `cleansing.json`: two methods, three fractions, three seeds."""
    random = np.random.default_rng(1)
    gain = np.array([[1.0, 2.0, 1.5], [0.1, -0.1, 0.0]])
    seeds = [
        Cleansing(
            methods=(f"influence on {VALID}", "random"),
            fractions=(0.05, 0.1, 0.2),
            higher_is_better={VALID: False, TEST: False},
            before={VALID: 12.5, TEST: 13.0},
            after={
                name: before - gain + 0.05 * random.standard_normal(gain.shape)
                for name, before in ((VALID, 12.5), (TEST, 13.0))
            },
            removed={f"influence on {VALID}": (HOSTILE,), "random": ("digit-3.png",)},
        )
        for _ in range(3)
    ]
    return {
        "chosen_by": VALID,
        "seeds": [
            {**asdict(s), "after": {k: v.tolist() for k, v in s.after.items()}}
            for s in seeds
        ],
        "comparisons": [asdict(c) for c in compare(seeds, chosen_by=VALID)],
    }


@pytest.fixture
def log_rows() -> list[dict]:
    """300 moves; D moves at even steps, G at odd ones; a metric every 50."""
    rows = []
    for step in range(1, 301):
        row = {"step": step, f"loss_{'GD'[step % 2]}": 1.0 + 1 / step, "cpu_s": 0.1 * step}
        rows.append(row | ({VALID: 20.0 - step / 50} if step % 50 == 0 else {}))
    return rows


@pytest.fixture
def folder(tmp_path, data, influence, cleansing, log_rows):
    """A complete run folder whose ranking is attributable."""
    run = tmp_path / "0001-gan-digits"
    (run / "cleansed").mkdir(parents=True)
    (run / "run.toml").write_text(RECIPE)
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log_rows))
    picture = Image.new("L", (16, 16), 128)
    for name in (
        "reals",
        "fakes_000000",
        "fakes_000300",
        "cleansed/before",
        "cleansed/fakes",
    ):
        picture.save(run / f"{name}.png")
    influence.save(run / "influence_0.npz")
    with (run / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "planted", f"removal_{VALID}"])
        for i, name in enumerate(data.ids):
            label = data.class_names[int(data["y"][i])]
            writer.writerow([name, label, i < 4, float(influence.removal[i])])
    (run / "verify.json").write_text(json.dumps(as_json(agreement(influence, noise=0.01))))
    (run / "cleansing.json").write_text(json.dumps(cleansing))
    detection = {
        "k": 4,
        "n_planted": 4,
        "precision": {f"influence on {VALID}": 1.0, "random": 0.25},
    }
    (run / "detection.json").write_text(json.dumps(detection))
    rounds = [
        {
            "removed": [HOSTILE],
            "step": 1,
            "accepted": True,
            "valid": 12.0,
            "test": {TEST: 12.6},
        }
    ]
    (run / "rounds.json").write_text(json.dumps(rounds))
    return run
