"""A game small enough to differentiate by hand, for the tests of targets."""

import pytest
import torch
from torch import nn

from counterplay import data, features, optim
from counterplay.game import apply_of, Game


def play_nothing(params, batch, noise, weights):
    del batch, noise, weights
    return sum(p.sum() for p in params["G"].values())


@pytest.fixture
def make_game():
    """A generator from 3 latents to 2-D points; D has no part in what is generated."""

    def make(generator=None, *, dtype=torch.float64, draw=None, **keywords):
        torch.manual_seed(0)
        generator = generator or nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
        G = apply_of("G", generator.to(dtype))

        def normal(size, generator, params):
            del params
            return {"z": torch.randn(size, 3, generator=generator)}

        keywords.setdefault("sample", lambda params, noise: G.evaluated(params, noise["z"]))
        return Game(
            modules={"G": generator.to(dtype), "D": nn.Linear(2, 1, dtype=dtype)},
            losses={"G": play_nothing, "D": play_nothing},
            optimizers={"G": optim.sgd(1e-2), "D": optim.sgd(1e-2)},
            schedule=(("D",), ("G",)),
            draw=draw or normal,
            **keywords,
        )

    return make


@pytest.fixture(scope="session")
def sorted_digits():
    """A classifier of digits, and two sets of digits that it was not trained on."""
    splits = data.digits()
    classify = features.classifier(splits.train, n_features=16, n_steps=250, lr=2e-2)
    return classify, splits.valid, splits.test
