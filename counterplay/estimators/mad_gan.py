"""MAD-GAN: faults in series as what a generator of normal windows cannot reproduce."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from counterplay import _rng, losses
from counterplay.estimators import _windows
from counterplay.estimators._detector import AbstractDetector, instance_weights
from counterplay.estimators._inversion import in_float64, Judge
from counterplay.estimators._scaling import scaling
from counterplay.estimators._series import AbstractSeriesDetector
from counterplay.game import apply_of, Columns, Game
from counterplay.games.mad_gan import mad_gan
from counterplay.metrics.target import of_state, Target
from counterplay.nets.recurrent import lstm_discriminator, lstm_generator
from counterplay.typing import Params


_OF_GAME = (
    "window", "latent_dim", "width", "loss", "lr", "eps_root", "r1", "ema_halflife",
    "dtype",
)  # fmt: skip


class MADGAN(AbstractSeriesDetector, AbstractDetector):
    """A score per time stamp of multivariate series, by a GAN of their windows.

    A generator and a discriminator of windows, both LSTMs, play on normal operation. Then a
    stamp is as outlying as the generator fails to reproduce the windows that cover it
    (reconstruction), and as the discriminator takes it for generated (discrimination). Both
    are compared with their mean and deviation on the end of the training series, which is
    held out from the game, and mixed.

    Training windows are the instances: `influence` has one entry per window, and
    `data_.ids` are the time stamps at which they start.

    Source: Li et al. 2019, arXiv 1901.04997.
    Differs: channels are scaled, and components found, by training series alone; latents
    have fewer numbers than there are channels and are penalised; reconstruction has the
    larger share; one move of G follows each of D; and G is averaged over its moves.

    Args:
        window: Rows of a window.
        stride: Rows between the starts of windows, at most a window.
        latent_dim: Numbers of the latent per step of time.
        width: Units of both LSTMs.
        pca: Principal components that take the place of the channels, if any.
        n_steps: Moves of the game.
        batch_size: Windows per move.
        loss: Family of losses.
        lr: Learning rate of both players.
        eps_root: Added inside the root by Adam; more makes a run slower and less chaotic.
        r1: Gamma of the penalty on D's slope at training windows.
        ema_halflife: Half-life of G's average, in moves of G, or None to score by G itself.
        held_out: Share of each training stretch, at its end, that the game does not see.
        n_inversion: Steps of the search for latents.
        latent_penalty: Weight of the latents' mean square in that search.
        weight_r: Share of reconstruction in the score.
        contamination: Share of training rows that the threshold calls outliers.
        threshold: `"quantile"` of the training scores, or `"pot"`, which extrapolates
            their tail.
        dtype: What the game is played in; scores are computed in float64 at any rate.
        memory: What checkpoints may take, such as `"256MiB"`.
        device: Where to compute.
        random_state: Determines everything that is drawn.

    Attributes:
        game_: The game.
        data_: The training windows, scaled.
        trajectory_: The run; `counterplay.trace` takes these three.
        normal_: Mean and deviation of the parts of the score on held-out rows.
        outlier_scores_: Scores of the training rows, high for outlying.
        residuals_: How far each channel of theirs is from its reconstruction.
        offset_: Minus the threshold.
    """

    PARTS = ("reconstruction", "discrimination")
    TRACED = 20  # further back, small changes of long runs grow without limit

    def __init__(
        self,
        *,
        window: int = 30,
        stride: int = 5,
        latent_dim: int = 3,
        width: int = 32,
        pca: int | None = None,
        n_steps: int = 6_000,
        batch_size: int = 64,
        loss: losses.Family = "non_saturating",
        lr: float = 2e-3,
        eps_root: float = 1e-6,
        r1: float = 1.0,
        ema_halflife: float | None = 200.0,
        held_out: float = 0.2,
        n_inversion: int = 100,
        latent_penalty: float = 0.01,
        weight_r: float = 0.8,
        contamination: float = 0.01,
        threshold: Literal["quantile", "pot"] = "quantile",
        dtype: Literal["float32", "float64"] = "float32",
        memory: int | str | None = "256MiB",
        device: str = "cpu",
        random_state: Any = None,
    ):
        self.window = window
        self.stride = stride
        self.latent_dim = latent_dim
        self.width = width
        self.pca = pca
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.loss = loss
        self.lr = lr
        self.eps_root = eps_root
        self.r1 = r1
        self.ema_halflife = ema_halflife
        self.held_out = held_out
        self.n_inversion = n_inversion
        self.latent_penalty = latent_penalty
        self.weight_r = weight_r
        self.contamination = contamination
        self.threshold = threshold
        self.dtype = dtype
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, weights: Any = None) -> Self:
        """Learn what is normal.

        Args:
            X: A series of normal operation: an array `(rows, channels)`, a data frame (with
                a `DatetimeIndex`, windows do not cross its gaps), or a list of these.
            y: Ignored.
            weights: One per training window, in the order of `data_.ids`; 0 removes it.
                Rows that only removed windows cover count neither for the scaling nor for
                the threshold.

        Returns:
            The detector.
        """
        self._require_options()
        series = _windows.read(self, X, reset=True)
        _windows.require_window(series, self.window, spare=self.window)
        known, held_out = _windows.parted(
            series.bounds, window=self.window, share=self.held_out
        )
        (windows,) = _windows.cut(known, window=self.window, stride=self.stride)
        weights = instance_weights(weights, len(windows.starts))
        counts = np.ones(len(series), dtype=bool)
        counts[windows.rows] = False
        counts[windows.rows[weights > 0]] = True
        self.step_ = series.step
        self.scaling_ = scaling(series.values[counts], self.pca)
        x = torch.from_numpy(self._scaled(series.values)[windows.rows])
        data = Columns(
            {"x": x.to(getattr(torch, self.dtype))},
            tuple(series.stamps[start] for start in windows.starts),
            kind="window",
        )
        seed = self._draw_seed()
        options = {name: getattr(self, name) for name in _OF_GAME}
        self._play(
            partial(make_game, x.shape[2], seed=seed, **options),
            data,
            n_steps=self.n_steps,
            batch_size=min(self.batch_size, len(data)),
            seed=seed,
            weights=weights,
        )
        self._set_normal(series, held_out)
        scores = self._scores_of(series)
        self.outlier_scores_, self.residuals_ = scores.total, scores.residuals
        self.offset_ = -self._threshold_of(self.outlier_scores_[counts])
        return self

    def reconstruction_target(self, X: Any) -> Target:
        """How well windows of a series are reproduced, as what a trace differentiates.

        The latents stay those found for the fitted generator. Where the search has
        converged, that leaves out nothing of first order from the penalised squared error,
        since its slope along the latents is 0; the absolute error measured here follows
        it closely, but not exactly.

        Args:
            X: A series that is not in the training set.

        Returns:
            Minus the mean absolute residual; higher is better.
        """
        measured = self._measured_by(X)

        def quality(params: Params) -> Tensor:
            return -measured(params)[:, 0].mean()

        return of_state(
            quality,
            name="reconstruction",
            higher_is_better=True,
            averaged=bool(self.game_.averages),
        )

    def _score_function(self, X: Any) -> Callable[[Params], Tensor]:
        """As a function of the networks, for latents that stay as they were found."""
        measured = self._measured_by(X)
        mean, deviation = torch.from_numpy(self.normal_).to(self.device)
        shares = mean.new_tensor([self.weight_r, 1 - self.weight_r])

        def scores(params: Params) -> Tensor:
            return ((measured(params) - mean) / deviation) @ shares

        return scores

    def _measured_by(self, X: Any) -> Callable[[Params], Float[Tensor, "n 2"]]:
        """Both parts at each row of a series, as a function of the networks."""
        series, judge = self._read(X), self._judge()
        cuts = _windows.cut(series.bounds, window=self.window, stride=self.stride)
        found = list(judge.inverted(self._final(), self._scaled(series.values), cuts))

        def measured(params: Params) -> Tensor:
            params = in_float64(params)
            sums = torch.zeros(len(series), 2, dtype=torch.float64, device=self.device)
            counts = sums.new_zeros(len(series))
            for one in found:
                parts = judge.parts(params, one, judge.errors(params, one))
                _windows.add(sums, counts, one.rows, parts)
            return sums / counts[:, None]

        return measured

    @torch.no_grad()
    def _measure(
        self, values: NDArray[np.float64], cuts: Sequence[_windows.Cut]
    ) -> tuple[Tensor, Tensor]:
        params, judge = self._final(), self._judge()
        sums = torch.zeros(len(values), 2 + values.shape[1], dtype=torch.float64)
        counts = sums.new_zeros(len(values))
        for one in judge.inverted(params, self._scaled(values), cuts):
            errors = judge.errors(params, one)
            parts = judge.parts(params, one, errors).cpu()
            residuals = torch.from_numpy(self._of_channels(errors.cpu().numpy()))
            _windows.add(sums, counts, one.rows, torch.cat([parts, residuals], 2))
        return sums, counts

    def _judge(self) -> Judge:
        return Judge(
            apply_of("G", self.game_.modules["G"]),
            apply_of("D", self.game_.modules["D"]),
            latent_dim=self.latent_dim,
            penalty=self.latent_penalty,
            n_steps=self.n_inversion,
            device=self.device,
        )

    def _final(self) -> Params:
        """The networks that score."""
        averaged = bool(self.game_.averages)
        return in_float64(self.trajectory_.final.view(averaged=averaged))

    def _mix(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, deviation = self.normal_
        return ((parts - mean) / deviation) @ [self.weight_r, 1 - self.weight_r]

    def _set_normal(
        self, series: _windows.Stretches, held_out: Sequence[_windows.Bound]
    ) -> None:
        """See how the parts of the score vary on rows that the game has not seen."""
        cuts = _windows.cut(held_out, window=self.window, stride=self.stride)
        sums, counts = self._measure(series.values, cuts)
        parts = (sums / counts[:, None])[counts > 0][:, : len(self.PARTS)].numpy()
        deviation = parts.std(0)
        self.normal_ = np.stack([parts.mean(0), np.where(deviation > 0, deviation, 1.0)])

    def _require_options(self) -> None:
        counts = ("window", "stride", "latent_dim", "n_steps", "batch_size", "n_inversion")
        _windows.require_numbers(**{name: getattr(self, name) for name in counts})
        _windows.require_shares(held_out=self.held_out, weight_r=self.weight_r)
        self._require_contamination()
        self._require_threshold()


def make_game(
    d: int, *, seed: int, width: int, lr: float, dtype: str, **options: Any
) -> Game:
    """The game of windows with `d` channels, on networks that `seed` determines."""
    with _rng.seeded(seed, "nets", "mad_gan"):
        generator = lstm_generator(options["latent_dim"], d, width=width)
        discriminator = lstm_discriminator(d, width=width)
    networks = (network.to(getattr(torch, dtype)) for network in (generator, discriminator))
    return mad_gan(*networks, lr_g=lr, lr_d=lr, **options)
