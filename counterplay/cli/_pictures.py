"""Pictures of a state: samples of fixed latents, walks between them, reconstructions."""

import io
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from counterplay import _rng
from counterplay.cli._folder import RunFolder
from counterplay.game import Game, State
from counterplay.report import figures, pictures
from counterplay.typing import Noise, Tensors


N_IMAGES, N_POINTS = 64, 1_000
ROW = 8  # images of a grid
N_PAIRS = 32


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
    noise = _latents(game, state, N_IMAGES if image else N_POINTS)
    fake = _samples(folder, game, state, noise)
    folder.write(name, _grid(fake) if image else _scatter(x, fake))


def write_interpolations(folder: RunFolder, game: Game, state: State, name: str) -> None:
    """Write images on the way from one latent to another, a pair of latents per row.

    The first and the second row of the grid of samples begin and end the ways; a row keeps
    whatever else its first sample is made of.
    """
    if game.sample is None or folder.data.kind != "image":
        return
    noise = _latents(game, state, N_IMAGES)
    if "z" not in noise:
        return
    z, first = noise["z"], torch.arange(ROW).repeat_interleave(ROW)
    walks = {key: entry[first] for key, entry in noise.items()}
    # Where latents are uniform, there are none beyond the least and the greatest.
    walks["z"] = walk(z[:ROW], z[ROW : 2 * ROW], ROW).clamp(z.min(), z.max())
    folder.write(name, _grid(_samples(folder, game, state, walks)))


def write_reconstructions(folder: RunFolder, game: Game, state: State, name: str) -> None:
    """Write validation images, and below each what the game makes of it."""
    if game.reconstruct is None or folder.data.kind != "image":
        return
    x = folder.recipe.splits.valid["x"][:N_PAIRS]
    view = _view(game, state)
    with torch.no_grad():
        rebuilt = game.reconstruct(view, _placed(x, view)).to(x)
    rows = zip(x.split(ROW), rebuilt.split(ROW), strict=True)
    pairs = [part for row in rows for part in row if len(part) == min(ROW, len(x))]
    folder.write(name, _grid(torch.cat(pairs), columns=len(pairs[0])))


def walk(start: Tensor, end: Tensor, n: int) -> Tensor:
    """Latents on arcs around the origin, `n` in a row from each start to its end.

    Source: White 2016, arXiv 1609.04468: on a straight line between normal
    latents those in the middle are shorter than any that are drawn.
    """
    cosine = cosine_similarity(start.flatten(1), end.flatten(1))
    angle = cosine.clamp(-1, 1).arccos().view(-1, 1, *[1] * (start.dim() - 1))
    t = torch.linspace(0, 1, n, dtype=start.dtype).view(1, -1, *[1] * (start.dim() - 1))
    straight = angle.sin() < 1e-3  # there is no arc, or more than one
    before, after = (
        torch.where(straight, share, (share * angle).sin() / angle.sin())
        for share in (1 - t, t)
    )
    return (before * start[:, None] + after * end[:, None]).flatten(0, 1)


def samples(folder: RunFolder, game: Game, state: State, n: int) -> Tensor | None:
    """Samples of a state, if they are like the rows of column "x"."""
    if game.sample is None:
        return None
    found = _samples(folder, game, state, _latents(game, state, n)).detach()
    x = folder.data["x"]
    return found.to(x) if found.shape[1:] == x.shape[1:] else None


def _latents(game: Game, state: State, n: int) -> Noise:
    return game.draw(n, _rng.generator(0, "pictures"), state.view())


def _samples(folder: RunFolder, game: Game, state: State, noise: Noise) -> Tensor:
    assert game.sample is not None
    view = _view(game, state)
    if "y" in noise:  # a class per row of the grid
        n_classes = int(folder.data["y"].max()) + 1
        labels = torch.arange(len(noise["y"])) // ROW % n_classes
        noise = {**noise, "y": labels.to(noise["y"])}
    with torch.no_grad():
        return game.sample(view, {key: _placed(x, view) for key, x in noise.items()})


def _view(game: Game, state: State) -> dict[str, Tensors]:
    return state.view(averaged=bool(game.averages))


def _placed(entry: Tensor, view: Mapping[str, Tensors]) -> Tensor:
    """A tensor where the networks are, and numbers in their dtype."""
    tensors = (tensor for player in view.values() for tensor in player.values())
    like = next(tensor for tensor in tensors if tensor.is_floating_point())
    return entry.to(like.device, like.dtype if entry.is_floating_point() else None)


def _grid(images: Tensor, *, columns: int | None = None) -> bytes:
    content = io.BytesIO()
    pictures.grid(images.detach().cpu(), columns=columns).save(content, format="PNG")
    return content.getvalue()


def _scatter(real: Tensor, fake: Tensor) -> bytes:
    content = io.BytesIO()
    figures.points_scatter(real[:N_POINTS], fake).savefig(content, format="png", dpi=150)
    return content.getvalue()
