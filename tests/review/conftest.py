"""A small run whose instances are reviewed, without files; and a tiny one that was played."""

import pytest
import torch
from reviewed import HOSTILE, N, PORT, TOKEN
from starlette.testclient import TestClient
from toy_run import (
    _few_resamples as _few_resamples,
    played as played,
    run as played_run,  # noqa: F401
    toy as toy,
)

from counterplay._influence import Influence
from counterplay.game import Columns
from counterplay.report.records import Run
from counterplay.review.instances import Instances
from counterplay.review.marks import Marks
from counterplay.review.retraining import Retraining
from counterplay.review.site import site


@pytest.fixture(scope="session")
def data():
    """Tiny grey images, of which 5 and 6 are the same; the first id would be markup."""
    x = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x[6] = x[5]
    ids = (HOSTILE, *(f"many/digit-{i}.png" for i in range(1, N)))
    return Columns({"x": x, "y": torch.arange(N) % 3}, ids, "image", ("a", "b", "c"))


@pytest.fixture
def reviewed(tmp_path, data):
    """Two metrics that say the opposite; the last instance was not traced."""
    gradient = torch.linspace(1.0, -1.0, N, dtype=torch.float64)
    gradient[-1] = torch.nan

    def influence(metric, *, higher_is_better):
        weights = torch.ones(N, dtype=torch.float64)
        return Influence(
            metric, higher_is_better, 12.5, gradient, weights, data.ids, "Unroll(last=None)"
        )

    folder = tmp_path / "0001-gan-digits"
    folder.mkdir()
    scores = [{"id": name, "planted": str(i < 2)} for i, name in enumerate(data.ids)]
    influences = (
        influence("valid_frechet_identity_64", higher_is_better=False),
        influence("valid_inception_score_identity_64", higher_is_better=True),
    )
    return Run(folder, {"play": {"n_steps": 10}}, [], influences, scores, [], {}, {}, [])


@pytest.fixture
def instances(reviewed, data):
    return Instances(reviewed, data)


@pytest.fixture
def marks(reviewed, data):
    return Marks(reviewed.folder / "review.json", data.ids)


@pytest.fixture
def retraining(reviewed):
    return Retraining(reviewed)


@pytest.fixture
def app(instances, marks, retraining):
    return site(instances, marks, retraining, token=TOKEN, port=PORT)


@pytest.fixture
def client(app):
    """The page that the review opened: it knows the host and the token.

    Yields:
        Its side of the connection.
    """
    with TestClient(app, base_url=f"http://127.0.0.1:{PORT}/{TOKEN}/") as client:
        yield client
