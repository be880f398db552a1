"""Draws the pictures of the concepts from two small runs; not part of building the site.

    python docs/building/pictures.py

The first run is that of `make run`. The second has the same data and networks with ReLU,
plain Adam, a larger rate and no penalty, traced over the whole run: it is not attributable.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

import counterplay as cp
from counterplay.metrics.target import Target
from counterplay.report import drawing, figures


IMAGES = Path(__file__).parent.parent / "images"
STEPS, LAST = 2_000, 200
SHOWN = (0, 100, 300, 800, 2_000)  # moves


def main() -> None:
    """Play, trace and verify both runs, and write the pictures."""
    torch.set_num_threads(1)
    data = cp.data.digits()
    features = cp.features.classifier(data.valid)
    game = the_game("tanh", lr=1e-3, eps_root=1e-6, r1=20.0)
    run, metric, influence = traced(game, data, features, LAST)
    write(backwards(game, run, data.train, influence), "backwards")
    write(sign(data.train, influence), "removal_effect")
    agreement = cp.verify(
        game,
        data.train,
        run,
        metric,
        influence,
        instances=40,
        lowered=(1.0,),
        since=STEPS - LAST,
    )
    write(scatter(agreement), "verified")

    wild = the_game("relu", lr=3e-3, eps_root=0.0, r1=0.0)
    run, metric, influence = traced(wild, data, features, None)
    agreement = cp.verify(
        wild, data.train, run, metric, influence, instances=40, lowered=(1.0,)
    )
    print(agreement)
    write(scatter(agreement), "not_attributable")


def the_game(activation: str, *, lr: float, eps_root: float, r1: float) -> cp.Game:
    """A small GAN of digits."""
    torch.manual_seed(0)
    networks = cp.nets.pair(
        "mlp", (1, 8, 8), latent_dim=16, width=64, activation=activation
    )
    return cp.games.load("gan")(
        *networks,
        latent_dim=16,
        lr_g=lr,
        lr_d=lr,
        eps_root=eps_root,
        r1=r1,
        ema_halflife=50.0,
    )


def traced(
    game: cp.Game, data: cp.data.Splits, features, last: int | None
) -> tuple[cp.Trajectory, Target, cp.Influence]:
    """A run, the metric, and the influence on it."""
    run = cp.play(game, data.train, n_steps=STEPS, batch_size=128, every=50)
    metric = cp.metrics.of_samples(
        "frechet", game, features, reference=data.valid, n=1_024, averaged=True
    )
    return (
        run,
        metric,
        cp.trace(game, data.train, run, metric, adjoint=cp.Unroll(last=last)),
    )


def backwards(
    game: cp.Game, run: cp.Trajectory, train: cp.Columns, influence: cp.Influence
) -> Figure:
    """Samples along a run: play goes forwards, the trace backwards, influence falls out."""
    figure = Figure(figsize=(drawing.WIDTH, 2.9), facecolor="none")
    write_at = partial(figure.text, fontsize=drawing.SMALL)
    assert game.sample is not None
    noise = {"z": torch.randn(9, 16, generator=torch.Generator().manual_seed(1))}
    side, left = 0.13, [0.03 + 0.202 * i for i in range(len(SHOWN))]
    for x, move in zip(left, SHOWN, strict=True):
        samples = game.sample(run.checkpoints[move].view(averaged=True), noise)
        ax = figure.add_axes((x, 0.50, side, 0.305))
        picture(ax, mosaic(samples), "move 0: noise" if move == 0 else f"{move:,}")
    arrow(figure, (0.03, 0.93), (0.97, 0.93), drawing.HELPFUL)
    write_at(0.03, 0.955, "play: move by move, from seeds", color=drawing.HELPFUL)
    arrow(figure, (0.97, 0.42), (0.03, 0.42), drawing.HARMFUL)
    said = "trace: the metric's derivative, from the last move to the first"
    write_at(0.97, 0.355, said, color=drawing.HARMFUL, ha="right")
    said = "every batch that it passes gives up what its instances did:"
    write_at(0.03, 0.255, said, color=drawing.INK)
    chosen = [*influence.harmful(5).tolist(), *influence.helpful(5).tolist()]
    for place, row in enumerate(chosen):
        ax = figure.add_axes((0.03 + 0.0955 * place, 0.09, 0.06, 0.14))
        effect = float(influence.removal[row])
        colour = drawing.HELPFUL if effect > 0 else drawing.HARMFUL
        picture(ax, train["x"][row, 0], "")
        ax.set_title(f"{effect:+.3f}", fontsize=drawing.SMALL, color=colour, y=-0.42)
    return figure


def sign(train: cp.Columns, influence: cp.Influence) -> Figure:
    """The removal effects of all instances, with those at either end."""
    figure = figures.influence_histogram(influence.removal.numpy(), influence.metric)
    figure.set_size_inches(drawing.WIDTH, 3.7)
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0, 0.27, 1, 0.73))
    rows = {"harmful": influence.harmful(6), "helpful": influence.helpful(6).flip(0)}
    colours = {"harmful": drawing.HARMFUL, "helpful": drawing.HELPFUL}
    for (name, chosen), begin in zip(rows.items(), (0.09, 0.56), strict=True):
        for place, row in enumerate(chosen.tolist()):
            ax = figure.add_axes((begin + 0.071 * place, 0.075, 0.06, 0.06 * 6.8 / 3.7))
            ax.set_in_layout(False)
            picture(ax, train["x"][row, 0], "")
        figure.text(begin, 0.205, f"the most {name}", color=colours[name],
                    fontsize=drawing.SMALL)  # fmt: skip
    return figure


def scatter(agreement) -> Figure:
    """Predicted against true changes."""
    (comparison,) = agreement.comparisons
    content = {
        "comparisons": [
            {
                "adjoint": comparison.adjoint,
                "what": comparison.what,
                "size": comparison.size,
                "predicted": comparison.predicted.tolist(),
                "actual": comparison.actual.tolist(),
            }
        ],
        "rows": agreement.rows(),
    }
    figure = figures.verification_scatter(content)
    figure.set_size_inches(3.4, 3.0)
    return figure


def picture(ax: Axes, image: Tensor | np.ndarray, title: str) -> None:
    """A gray image with a title."""
    ax.imshow(np.asarray(image), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_title(title, fontsize=drawing.SMALL, color=drawing.INK, pad=3)
    ax.set_axis_off()


def mosaic(samples: Tensor) -> np.ndarray:
    """Nine images of 8 x 8 pixels, three by three."""
    return samples.detach().reshape(3, 3, 8, 8).permute(0, 2, 1, 3).reshape(24, 24).numpy()


def arrow(
    figure: Figure, begin: tuple[float, float], end: tuple[float, float], colour: str
) -> None:
    """An arrow in fractions of the figure."""
    figure.add_artist(
        FancyArrowPatch(begin, end, arrowstyle="-|>", mutation_scale=11, color=colour)
    )


def write(figure: Figure, name: str) -> None:
    """Write `docs/images/<name>.svg`, whose text is text."""
    svg, png = drawing.save(figure, IMAGES / name)
    png.unlink()
    print(svg.name, f"{svg.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
