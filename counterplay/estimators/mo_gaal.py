"""MO-GAAL as a detector of outliers in tables."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch

from counterplay import _rng
from counterplay.errors import ConfigError
from counterplay.estimators._gaal import AbstractGAAL
from counterplay.game import Game
from counterplay.games.mo_gaal import mo_gaal
from counterplay.nets import gaal


class MOGAAL(AbstractGAAL):
    """Outliers as a discriminator sees them that was trained against many generators.

    Each generator is drawn to another level set of the discriminator, so that together
    they surround the data with potential outliers; the score of a row is how sure the
    discriminator is that it is not real.

    Source: Liu et al. 2019, arXiv 1809.10816, algorithm 2.
    Differs: see `counterplay.games.mo_gaal`; fewer moves, at higher learning rates, and
    their number does not grow with large tables; the hidden layer is wider; and the
    moving average of the discriminator scores in place of the last one.

    Args:
        n_generators: Number of generators; no more than a batch has rows.
        share: How the generators share the samples of a batch: `"proportional"`, or
            `"official"` as the authors round.
        n_active: Rounds of a move of the discriminator and one of the generators, after
            which these are frozen. By default thrice the root of the number of rows, at
            most 100; longer training lets the scores of many tables turn around.
            `"agreement"` plays up to 300 rounds first, and chooses the number after which
            the scores of the training rows agree best with their mean absolute deviation
            from the columns' medians; no label is needed.
        n_frozen: Moves of the discriminator alone that follow; a tenth of the rounds if
            left out, or none with `"agreement"`. The paper has twice as many as rounds.
        width: Units of the discriminator's hidden layer, at least the root of the number of
            rows, which is the paper's.
        ema_halflife: Half-life of the discriminator's moving average, which scores, in its
            moves; None to score by the last discriminator.
        batch_size: Rows per move.
        lr_d: Learning rate of the discriminator.
        lr_g: Learning rate of the generators.
        momentum: Momentum of both.
        contamination: Share of outliers assumed among the training rows, which sets the
            threshold and nothing else.
        dtype: What the game is played in; scores are computed in float64 at any rate.
        memory: What checkpoints may take, such as `"256MiB"`.
        device: Where to compute.
        random_state: Determines everything that is drawn.

    Attributes:
        game_: The game.
        data_: The training rows, scaled to [0, 1].
        trajectory_: The run; `counterplay.trace` takes these three.
        outlier_scores_: Scores of the training rows, high for outlying.
        offset_: Minus the threshold.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(0.5, 0.01, (60, 2))
        >>> X[0] = 1.0
        >>> int(MOGAAL(random_state=0).fit(X).outlier_scores_.argmax())
        0
    """

    def __init__(
        self,
        *,
        n_generators: int = 10,
        share: Literal["proportional", "official"] = "proportional",
        n_active: int | Literal["agreement"] | None = None,
        n_frozen: int | None = None,
        width: int = 256,
        ema_halflife: float | None = 50.0,
        batch_size: int = 500,
        lr_d: float = 3e-2,
        lr_g: float = 2e-3,
        momentum: float = 0.9,
        contamination: float = 0.1,
        dtype: Literal["float32", "float64"] = "float32",
        memory: int | str | None = "2GiB",
        device: str = "cpu",
        random_state: Any = None,
    ):
        self.n_generators = n_generators
        self.share = share
        self.n_active = n_active
        self.n_frozen = n_frozen
        self.width = width
        self.ema_halflife = ema_halflife
        self.batch_size = batch_size
        self.lr_d = lr_d
        self.lr_g = lr_g
        self.momentum = momentum
        self.contamination = contamination
        self.dtype = dtype
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def _maker(
        self, shape: tuple[int, ...], batch_size: int, seed: int
    ) -> Callable[..., Game]:
        if self.n_generators < 1:
            raise ConfigError(
                f"`n_generators` must be at least 1, got {self.n_generators!r}."
            )
        return partial(
            make_game,
            *shape,
            n_generators=min(self.n_generators, batch_size),
            seed=seed,
            dtype=self.dtype,
            share=self.share,
            width=self.width,
            ema_halflife=self.ema_halflife,
            lr_d=self.lr_d,
            lr_g=self.lr_g,
            momentum=self.momentum,
        )


def make_game(
    n: int, d: int, *, n_generators: int, width: int, seed: int, dtype: str, **options: Any
) -> Game:
    """The game for a table, always with the same first parameters.

    Args:
        n: Rows.
        d: Columns.
        n_generators: Number of generators.
        width: Least number of units in the hidden layer of the discriminator.
        seed: Determines the first parameters.
        dtype: What it is played in.
        options: Of `counterplay.games.mo_gaal`.

    Returns:
        The game.
    """
    with _rng.seeded(seed, "nets"):
        generators = gaal.generators(d, n_generators)
        discriminator = gaal.discriminator(d, max(width, math.ceil(math.sqrt(n))))
    kind = getattr(torch, dtype)
    return mo_gaal(
        generators.to(kind),
        discriminator.to(kind),
        latent_dim=d,
        n_generators=n_generators,
        **options,
    )
