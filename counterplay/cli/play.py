"""`counterplay play`."""

from functools import partial

from counterplay.cli import _launch, _options, _show
from counterplay.cli._begin import begin
from counterplay.cli._folder import RunFolder
from counterplay.cli._record import record
from counterplay.ranks import ALONE, Ranks


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
    device: _options.Name = None,
    precision: _options.Precision = None,
    memory_format: _options.MemoryFormat = None,
    out: _options.Out = None,
    threads: int = 1,
    n_rows: int = 200,
    n_scores: int = 10,
    tensorboard: bool = False,
    wandb: bool = False,
    resume: bool = False,
    dry_run: bool = False,
) -> None:
    """Play a game and record the run in a new folder.

    The recipe of a run has the tables data, corrupt, nets, game, play, features and metric.
    What is given nowhere takes the default of the function that it goes to; a file is
    stronger than defaults, and options are stronger than a file. `--dry-run` prints all.
    Processes that `torchrun` starts share each batch.

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
        device: Where to compute, such as `cuda`; short for `play.device`.
        precision: What float32 networks multiply in; short for `play.precision`. Only a run
            in float32 can be traced.
        memory_format: Order of images in memory; short for `play.memory_format`.
        out: Folder to write; the next number in `runs` if not given.
        threads: Threads to compute in; part of the run, as another number gives other last
            digits. One is fastest for small networks.
        n_rows: Rows of the log.
        n_scores: How often the metrics are measured and samples drawn; 0 for never.
        tensorboard: Write the log for TensorBoard too.
        wandb: Send the log to Weights & Biases; `WANDB_MODE=offline` keeps it here.
        resume: Continue the interrupted run in the folder of `--out`.
        dry_run: Print the complete recipe and stop.
    """
    named = {
        "data.name": data,
        "nets.name": nets,
        "game.name": game,
        "data.skip_broken": skip_broken or None,
        "play.n_steps": n_steps,
        "play.batch_size": batch_size,
        "play.seed": seed,
        "play.device": device,
        "play.precision": precision,
        "play.memory_format": memory_format,
    }
    with _launch.joined() as ranks:
        new = partial(
            begin,
            BARE,
            file,
            overrides,
            named,
            out=out,
            resume=resume,
            dry_run=dry_run,
            threads=threads,
            ranks=ranks.size,
            n_rows=n_rows,
            n_scores=n_scores,
        )
        folder = _launch.begun(ranks, new)
        if folder is not None:
            play_folder(folder, tensorboard=tensorboard, wandb=wandb, ranks=ranks)


def play_folder(
    folder: RunFolder,
    *,
    tensorboard: bool = False,
    wandb: bool = False,
    ranks: Ranks = ALONE,
) -> None:
    """Play the run of a folder, or the rest of it; the first rank writes."""
    game = folder.recipe.make_game()
    play = partial(folder.recipe.record, game, ranks=ranks)
    if not ranks.is_first:
        play(checkpoints=folder.checkpoints)
        return
    with folder.locked():
        record(folder, game, play, game.initial, tensorboard=tensorboard, wandb=wandb)
    _show.say(f"The run is in {folder.path}")
