"""Sample grids from fixed latents."""

import io

import torch
from torch import Tensor

from counterplay import _rng
from counterplay.cli._folder import RunFolder
from counterplay.game import Game, State
from counterplay.report import figures, pictures


N_IMAGES, N_POINTS = 64, 1_000
ROW = 8  # images of a grid


def write_reals(folder: RunFolder) -> None:
    """Write instances of the training set, if they are images."""
    if folder.data.kind == "image":
        folder.write("reals.png", _grid(folder.data["x"][:N_IMAGES]))


def write_fakes(folder: RunFolder, game: Game, state: State, name: str) -> None:
    """Write the images or plane points of a state, from the same latents every time."""
    kind, x = folder.data.kind, folder.data["x"]
    image, plane = kind == "image", kind == "point" and x.shape[1:] == (2,)
    if game.sample is None or not (image or plane):
        return
    noise = game.draw(
        N_IMAGES if image else N_POINTS, _rng.generator(0, "pictures"), state.view()
    )
    if "y" in noise:  # a class per row of the grid
        n_classes = int(folder.data["y"].max()) + 1
        labels = torch.arange(len(noise["y"])) // ROW % n_classes
        noise = {**noise, "y": labels.to(noise["y"])}
    with torch.no_grad():
        fake = game.sample(state.view(averaged=bool(game.averages)), noise)
    folder.write(name, _grid(fake) if image else _scatter(x, fake))


def _grid(images: Tensor) -> bytes:
    content = io.BytesIO()
    pictures.grid(images.detach().cpu()).save(content, format="PNG")
    return content.getvalue()


def _scatter(real: Tensor, fake: Tensor) -> bytes:
    content = io.BytesIO()
    figures.points_scatter(real[:N_POINTS], fake).savefig(content, format="png", dpi=150)
    return content.getvalue()
