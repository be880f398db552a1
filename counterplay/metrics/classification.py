"""What a game's own classifier gets wrong: held-out labels, not samples, are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from jaxtyping import Float, Int
from torch import nn, Tensor

from counterplay.errors import MetricError
from counterplay.game import Columns, Game
from counterplay.metrics.target import of_state, Target
from counterplay.typing import Params, Scalar


def classification_error(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Scalar:
    """Share of instances whose class is not the one with the largest logit.

    Lower is better; between 0 and 1; it has no slope.
    """
    return (logits.argmax(1) != labels).double().mean()


def cross_entropy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Scalar:
    """Mean negative log-probability of the classes that instances have, in nats.

    Lower is better; at least 0. What a trace can follow in place of the error.
    """
    return nn.functional.cross_entropy(logits.double(), labels)


OF_CLASSIFIER: Mapping[str, Callable[[Tensor, Tensor], Scalar]] = {
    "classification_error": classification_error,
    "cross_entropy": cross_entropy,
}


def of_classifier(
    metric: str, game: Game, reference: Columns, *, averaged: bool = False
) -> Target:
    """Measure a game that learns to classify, on those instances that have a label.

    Args:
        metric: `"classification_error"`, or `"cross_entropy"` to trace.
        game: What classifies.
        reference: Instances held out from its training.
        averaged: Whether moving averages take the place of the players that have one.

    Returns:
        The target.

    Raises:
        MetricError: If there is no such metric, or what it needs is not given.
    """
    if metric not in OF_CLASSIFIER:
        raise MetricError(
            f"There is no metric {metric!r} of a classifier; there are "
            f"{list(OF_CLASSIFIER)}."
        )
    classify, y = game.classify, reference.tensors.get("y")
    if classify is None:
        raise MetricError(
            f"Metric {metric!r} measures a game that learns to classify, but this one's "
            "`classify` is None. Play 'semi_supervised_gan', or measure samples."
        )
    if y is None or y.is_floating_point() or not (y != -1).any():
        raise MetricError(
            f"Metric {metric!r} compares with labels, but none of the {len(reference)} "
            "instances has one in a column 'y' of integers. Give labelled data."
        )
    x, labels = reference["x"][y != -1], y[y != -1]

    def value(params: Params) -> Scalar:
        like = next(t for t in params[game.readers[0]].values() if t.is_floating_point())
        logits = classify(params, x.to(like.device, like.dtype))
        return OF_CLASSIFIER[metric](logits.cpu(), labels.cpu())

    target = of_state(value, name=metric, higher_is_better=False, averaged=averaged)
    return replace(target, reads=reference.ids)


def with_error(names: Sequence[str], game: Game) -> tuple[str, ...]:
    """Names of metrics, and that of the error if the game learns to classify."""
    own = () if game.classify is None else ("classification_error",)
    return tuple(dict.fromkeys([*names, *own]))
