"""Pictures of the last state: walks between latents, and reconstructions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from counterplay.__main__ import main
from counterplay.cli._folder import RunFolder
from counterplay.cli._pictures import walk


TILE, STEP = 32, 34  # pixels of an image in a grid, and from one to the next
TINY = [
    "nets.width=4", "game.latent_dim=3", "metric.n=16", "play.batch_size=8",
    "metric.names=['average_log_likelihood']",
]  # fmt: skip


def played(game, *overrides):
    options = ["--n-steps", "4", "--n-scores", "2", "--out", game]
    assert main(["play", "--game", game, *options, "--set", *TINY, *overrides]) == 0
    return Path(game)


def tiles(path):
    """The grey values of a grid's images, by row and column."""
    with Image.open(path) as picture:
        grey = np.asarray(picture)[..., 0].astype(int)
    rows, columns = ((side + STEP - TILE) // STEP for side in grey.shape)
    return np.array(
        [
            [grey[r * STEP :, c * STEP :][:TILE, :TILE] for c in range(columns)]
            for r in range(rows)
        ]
    )


def shades(images):
    """What 8 x 8 images in [-1, 1] look like in a grid."""
    pixels = ((images[:, 0] + 1) * 127.5).round().clamp(0, 255).int().numpy()
    return np.kron(pixels, np.ones((4, 4), int))


def test_arcs_keep_the_length_of_latents_and_turn_evenly():
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    end = end * (start.norm(dim=1) / end.norm(dim=1))[:, None]
    found = walk(start, end, 7).view(3, 7, 5)
    torch.testing.assert_close(found[:, 0], start)
    torch.testing.assert_close(found[:, -1], end)
    lengths = start.norm(dim=1, keepdim=True).expand(3, 7)
    torch.testing.assert_close(found.norm(dim=2), lengths)
    chords = (found[:, 1:] - found[:, :-1]).norm(dim=2)
    torch.testing.assert_close(chords, chords[:, :1].expand(3, 6))


def test_latents_on_a_line_through_the_origin_are_walked_straight():
    start, end = torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [-1.0]])
    found = walk(start, end, 4).view(2, 4)
    torch.testing.assert_close(found, torch.tensor([[1.0, 2, 3, 4], [2, 1, 0, -1]]))


@pytest.mark.usefixtures("toy")
def test_a_run_of_images_ends_with_walks_between_its_first_samples():
    folder = played("bigan")
    assert [path.name for path in folder.glob("inter*")] == ["interpolations_000004.png"]
    fakes, walks = (tiles(folder / f"{n}_000004.png") for n in ("fakes", "interpolations"))
    assert walks.shape == fakes.shape == (8, 8, TILE, TILE)
    np.testing.assert_array_equal(walks[:, 0], fakes[0])
    np.testing.assert_array_equal(walks[:, -1], fakes[1])
    steps = np.abs(np.diff(walks, axis=1)).mean((2, 3))
    assert (steps < np.abs(fakes[0] - fakes[1]).mean((1, 2))[:, None]).all()


@pytest.mark.usefixtures("toy")
def test_a_walk_keeps_the_class_of_its_row():
    folder = played("acgan")
    fakes, walks = (tiles(folder / f"{n}_000004.png") for n in ("fakes", "interpolations"))
    np.testing.assert_array_equal(walks[0, 0], fakes[0, 0])  # class 0 in both
    assert (walks[1, 0] != fakes[0, 1]).any()  # the same latent as another class


@pytest.mark.usefixtures("toy")
def test_validation_images_stand_above_their_reconstructions():
    path = played("bigan")
    folder = RunFolder.open(path)
    game, final = folder.recipe.make_game(), folder.trajectory().final
    x = folder.recipe.splits.valid["x"][:32]
    team = game.modules["G"]
    team.load_state_dict(final.view()["G"])
    with torch.no_grad():
        rebuilt = team["generator"](team["encoder"](x))
    found = tiles(path / "reconstructions_000004.png")
    np.testing.assert_array_equal(found[::2].reshape(32, TILE, TILE), shades(x))
    np.testing.assert_array_equal(found[1::2].reshape(32, TILE, TILE), shades(rebuilt))


@pytest.mark.usefixtures("toy")
def test_fewer_instances_than_a_row_are_shown_in_one():
    overrides = ["data.name=npz", "data.path=few.npz"]
    rng = np.random.default_rng(0)
    np.savez("few.npz", x=rng.integers(0, 256, (25, 8, 8), np.uint8))
    found = tiles(played("ebgan", *overrides) / "reconstructions_000004.png")
    assert found.shape[:2] == (2, 5)


def test_points_have_neither(run):
    assert not [*run.glob("interpolations*"), *run.glob("reconstructions*")]
