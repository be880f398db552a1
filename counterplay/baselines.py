"""Other ways to choose what to remove, to be beaten at equal removal count.

Each function returns a harm score per training instance, `(n,)` float64: the highest is
removed first.
"""

import torch
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from torch import Tensor

from counterplay import _rng
from counterplay._trajectory import draw, make_plan, weights_of
from counterplay.game import Batch, Columns, Game, State
from counterplay.metrics.target import of_state, Target
from counterplay.typing import Features, Params, PerInstance, Scalar, Tensors


def random(n: int, *, seed: int = 0) -> PerInstance:
    """No information: a random order."""
    return _rng.permutation(n, seed, "baseline").double()


def isolation_forest(
    features: Features, *, n_trees: int = 200, seed: int = 0
) -> PerInstance:
    """Outliers first, by isolation depth in random trees.

    Source: Liu, Ting, Zhou 2008, doi 10.1109/ICDM.2008.17; scikit-learn's implementation.
    """
    rows = features.flatten(1).double().numpy()
    forest = IsolationForest(n_estimators=n_trees, random_state=seed).fit(rows)
    return torch.from_numpy(-forest.score_samples(rows))


def density(features: Features) -> PerInstance:
    """Sparse regions first: the squared Mahalanobis distance under one Gaussian.

    Keeping the densest instances is instance selection for GANs, the strong cheap baseline.
    Source: DeVries, Drozdzal, Taylor 2020, arXiv 2007.15255 (their Gaussian scoring model).
    Differs: the covariance is shrunk (Ledoit and Wolf 2004), so few instances suffice.
    """
    rows = features.flatten(1).double().numpy()
    return torch.from_numpy(LedoitWolf().fit(rows).mahalanobis(rows))


def discriminator_loss(
    game: Game, held_out: Columns, *, player: str = "D", n: int = 512, seed: int = 0
) -> Target:
    """The loss of a reading player on held-out data, to be traced like any metric.

    Source: the baseline of Terashita et al. 2021, arXiv 2101.08367, section 5.2.
    """
    chosen = held_out.select(_rng.permutation(len(held_out), seed, "held-out")[:n])
    plan = make_plan(chosen, batch_size=len(chosen), seed=seed)

    def loss(params: Params) -> Scalar:
        any_param = next(iter(params[player].values()))
        columns = {
            name: column.to(any_param) if column.is_floating_point() else column
            for name, column in chosen.tensors.items()
        }
        noise = game.draw(len(chosen), _rng.generator(seed, "held-out noise"), params)
        batch = Batch(torch.arange(len(chosen)), columns)
        return game.losses[player](params, batch, noise, plan.weights.to(any_param))

    return of_state(loss, name=f"loss_{player}_{len(chosen)}", higher_is_better=False)


def discriminator_score(
    game: Game, data: Columns, state: State, *, player: str = "D", batch_size: int = 256
) -> PerInstance:
    """What the final discriminator finds least real comes first.

    The score of an instance is its own term of the player's loss, which is the derivative
    of the loss by its weight.
    """
    scores = torch.zeros(len(data), dtype=torch.float64)
    for batch, noise, weights in _batches(game, data, state, batch_size):
        with torch.enable_grad():
            view = game.view(state)
            loss = game.losses[player](view, batch, noise, weights.requires_grad_())
            (term,) = torch.autograd.grad(loss, weights)
        scores[batch.index] = term.double() * len(batch)
    return scores


def gradient_norm(
    game: Game, data: Columns, state: State, *, player: str = "D", batch_size: int = 64
) -> PerInstance:
    """What pulls hardest at the final discriminator comes first: its gradient's norm.

    Source: Paul, Ganguli, Dziugaite 2021, arXiv 2107.07075 (GraNd), there for classifiers.
    Differs: at the end of one run, where theirs is a mean over networks early in training.
    """
    scores = torch.zeros(len(data), dtype=torch.float64)
    for batch, noise, weights in _batches(game, data, state, batch_size):

        def term(
            params: Tensors, along: Tensor, batch=batch, noise=noise, weights=weights
        ) -> Scalar:
            def loss(weights: Tensor) -> Scalar:
                view = game.view(state)
                view[player].update(params)
                return game.losses[player](view, batch, noise, weights)

            return torch.func.jvp(loss, (weights,), (along,))[1]

        one_hot = torch.eye(len(batch), dtype=weights.dtype)
        grads = torch.func.vmap(torch.func.grad(term), in_dims=(None, 0))(
            state.params[player], one_hot
        )
        square = sum(g.flatten(1).double().square().sum(1) for g in grads.values())
        scores[batch.index] = torch.as_tensor(square).sqrt() * len(batch)
    return scores


def _batches(game: Game, data: Columns, state: State, batch_size: int):
    """Every instance once.

    Yields:
        A batch, its noise, and weights of 1.
    """
    for begin in range(0, len(data), batch_size):
        part = data.select(range(begin, min(begin + batch_size, len(data))))
        plan = make_plan(part, batch_size=len(part), seed=0)
        at = State(_reading_move(game), state.params, state.buffers, state.slots)
        batch, noise = draw(game, part, plan, at)
        weights = weights_of(plan, batch, state)
        yield Batch(batch.index + begin, batch.columns), noise, weights


def _reading_move(game: Game) -> int:
    return next(move for move in range(len(game.schedule)) if game.reads(move))
