"""SO-GAAL beside what `test_mo_gaal.py` says of both."""

import numpy as np
import torch

from counterplay.estimators import SOGAAL
from counterplay.estimators.so_gaal import make_game


def test_the_game_has_one_generator_and_a_discriminator_of_the_root_of_the_rows():
    game = make_game(
        10_000, 3, width=8, seed=0, dtype="float64", n_active=1, ema_halflife=None
    )
    assert game.modules["D"][0].out_features == 100
    assert game.modules["G"](torch.rand(5, 3).double()).shape == (5, 3)
    assert game.readers == ("D",)


def test_two_fits_of_other_seeds_begin_with_other_networks():
    X = np.random.default_rng(0).uniform(size=(20, 2))
    first, second = (
        SOGAAL(n_active=1, width=4, random_state=seed).fit(X).game_.modules["D"][0].weight
        for seed in (0, 1)
    )
    assert not torch.equal(first, second)
