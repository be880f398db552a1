"""Influence averaged on the way to removal, where its start does not tell enough.

A removal takes the weights of its instances from 1 to 0, and what it does to the metric is
the integral of the derivative over that way. An influence is the derivative at the start.
Where a run is curved, the mean of the derivatives at the start and half way, with those
weights at 1/2, chooses better.
"""

from dataclasses import replace

from counterplay._adjoint import AbstractAdjoint, Unroll
from counterplay._influence import Influence, trace
from counterplay._retrain import count_of, retrain
from counterplay._trajectory import Trajectory
from counterplay.errors import TraceError
from counterplay.game import Columns, Game
from counterplay.metrics.target import Target


def trace_along_removal(
    game: Game,
    data: Columns,
    trajectory: Trajectory,
    metric: Target,
    influence: Influence,
    *,
    fraction: float = 0.1,
    adjoint: AbstractAdjoint = Unroll(),  # noqa: B008
    since: int = 0,
) -> Influence:
    """Average an influence with that half way to removing the most harmful.

    It costs one retraining and one more trace. The weights on the way are those of the
    group, so it is the group's removal that is predicted better, not that of one instance.

    Args:
        game: The game.
        data: The training set of the run.
        trajectory: The run.
        metric: The metric that was traced.
        influence: The influence at the start.
        fraction: Share of the training set that is taken for the most harmful.
        adjoint: How the second influence is computed; as the first was.
        since: Retrain only from this move on.

    Returns:
        The mean of both; its `value` is that of the run as it was.

    Raises:
        TraceError: If the influence is on another metric.
    """
    if influence.metric != metric.name:
        raise TraceError(
            f"The influence is on {influence.metric!r}, but {metric.name!r} is to be "
            "averaged along a removal. Give the influence of the same metric."
        )
    weights = trajectory.plan.weights.clone()
    weights[influence.harmful(count_of(fraction, len(data)))] /= 2
    halfway = retrain(game, data, trajectory, weights=weights, since=since)
    there = trace(game, data, halfway, metric, adjoint=adjoint)
    return replace(
        influence,
        gradient=(influence.gradient + there.gradient) / 2,
        adjoint=f"{influence.adjoint}, half of it at half weight of {fraction:g}",
    )
