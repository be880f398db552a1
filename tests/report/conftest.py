"""A small run folder, written by hand, with everything that a page can show."""

import csv
import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import torch
from example_run import HOSTILE, N, RECIPE, TEST, VALID, verified
from PIL import Image

from counterplay import _statistics
from counterplay._cleanse import Cleansing, compare
from counterplay._influence import Influence
from counterplay.game import Columns


@pytest.fixture(scope="session")
def data() -> Columns:
    """Tiny grey images; the first id would be markup if it were not escaped."""
    x = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ids = (HOSTILE, *(f"digit-{i}.png" for i in range(1, N)))
    y = torch.arange(N) % 3
    return Columns({"x": x, "y": y}, ids, kind="image", class_names=("a", "b", "c"))


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def right(influence) -> list[dict]:
    """The content of `verify.json` when predictions are nearly exact."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_statistics, "N_RESAMPLES", 150)
        return verified(influence, noise=0.001)


@pytest.fixture(scope="session")
def wrong(influence) -> list[dict]:
    """The content of `verify.json` when predictions are noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_statistics, "N_RESAMPLES", 150)
        return verified(influence, noise=100.0)


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def log_rows() -> list[dict]:
    """300 moves; D moves at even steps, G at odd ones; a metric every 50."""
    rows = []
    for step in range(1, 301):
        row = {"step": step, f"loss_{'GD'[step % 2]}": 1.0 + 1 / step, "cpu_s": 0.1 * step}
        rows.append(row | ({VALID: 20.0 - step / 50} if step % 50 == 0 else {}))
    return rows


@pytest.fixture(scope="session")
def complete(tmp_path_factory, data, influence, right, cleansing, log_rows):
    """A run folder with everything, whose ranking is attributable; not to be changed."""
    run = tmp_path_factory.mktemp("complete") / "0001-gan-digits"
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
    (run / "verify.json").write_text(json.dumps(right))
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


@pytest.fixture
def folder(tmp_path, complete):
    """A copy of the complete run folder, to be changed."""
    return shutil.copytree(complete, tmp_path / complete.name)
