"""`counterplay play`."""

from functools import partial
from pathlib import Path

from counterplay.cli import _options, _show
from counterplay.cli._folder import RunFolder
from counterplay.cli._record import record
from counterplay.errors import ConfigError


BARE: _options.Tables = {
    "data": {"name": "digits"},
    "nets": {"name": "mlp"},
    "game": {"name": "gan"},
}


def play(
    *,
    file: _options.From = None,
    game: _options.Name = None,
    data: _options.Name = None,
    nets: _options.Name = None,
    overrides: _options.Set = (),
    n_steps: _options.Number = None,
    batch_size: _options.Number = None,
    seed: _options.Number = None,
    skip_broken: bool = False,
    out: _options.Out = None,
    n_rows: int = 200,
    n_scores: int = 10,
    tensorboard: bool = False,
    resume: bool = False,
    dry_run: bool = False,
) -> Path | None:
    """Play a game and record the run in a new folder.

    The recipe of a run has the tables data, corrupt, nets, game, play, features and metric.
    What is given nowhere takes the default of the function that it goes to; a file is
    stronger than defaults, and options are stronger than a file. `--dry-run` prints all.

    Args:
        file: Recipe in TOML, or a run folder whose recipe is played again.
        game: Game, see `counterplay list games`; `gan` if not given.
        data: Data set, see `counterplay list data`; `digits` if not given.
        nets: Networks, see `counterplay list nets`; `mlp` if not given.
        overrides: Any keys of the recipe, such as `game.lr_g=1e-4 nets.width=64
            corrupt.kind=noise corrupt.fraction=0.05`.
        n_steps: Moves to play; short for `play.n_steps`.
        batch_size: Instances of a move; short for `play.batch_size`.
        seed: Determines first parameters, order and noise; short for `play.seed`.
        skip_broken: Leave out images that cannot be read; short for `data.skip_broken`.
        out: Folder to write; the next number in `runs` if not given.
        n_rows: Rows of the log.
        n_scores: How often the metrics are measured and samples drawn; 0 for never.
        tensorboard: Write the log for TensorBoard too.
        resume: Continue the interrupted run in the folder of `--out`.
        dry_run: Print the complete recipe and stop.

    Returns:
        The folder, unless nothing was played.

    Raises:
        ConfigError: If it is not said what to resume.
    """
    named = {
        "data.name": data,
        "nets.name": nets,
        "game.name": game,
        "data.skip_broken": skip_broken or None,
        "play.n_steps": n_steps,
        "play.batch_size": batch_size,
        "play.seed": seed,
    }
    base = BARE if file is None else _options.read_recipe(file)
    if resume:
        folder = resumed(out, base if file else None, overrides, named)
        return None if dry_run else play_folder(folder, tensorboard=tensorboard)
    recipe = _options.recipe_of(base, overrides, named=named)
    if dry_run:
        print(recipe.toml(), end="")
        return None
    folder = RunFolder.create(recipe, out, n_rows=n_rows, n_scores=n_scores)
    return play_folder(folder, tensorboard=tensorboard)


def play_folder(folder: RunFolder, *, tensorboard: bool = False) -> Path:
    """Play the run of a folder, or the rest of it."""
    with folder.locked():
        game = folder.recipe.make_game()
        record(
            folder,
            game,
            partial(folder.recipe.record, game),
            game.initial,
            tensorboard=tensorboard,
        )
    _show.say(f"The run is in {folder.path}")
    return folder.path
