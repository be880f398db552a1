"""`counterplay compare`."""

from typing import Annotated

from tyro.conf import arg

from counterplay import _games_study
from counterplay.cli import _options, _show
from counterplay.cli._folder import read_tables, write_table
from counterplay.cli._place import RUNS
from counterplay.cli.play import BARE
from counterplay.errors import ConfigError
from counterplay.report import figures


def compare(
    *,
    games: Annotated[str, arg(metavar="NAME,NAME")],
    file: _options.From = None,
    data: _options.Name = None,
    nets: _options.Name = None,
    overrides: _options.Set = (),
    n_steps: _options.Number = None,
    batch_size: _options.Number = None,
    seeds: int = 3,
    verify: int = 0,
    last_epochs: int = 1,
    jobs: int = 1,
    executor: _options.Executor = None,
    out: _options.Out = None,
    resume: bool = False,
) -> None:
    """Play several games on the same data, and compare what they come to.

    Prints one table: the metrics on test data, mean and extremes over the seeds, beside
    what real data get, parameters and relative CPU time. Writes it with a figure.

    Args:
        games: The games, with commas between; see `counterplay list games`.
        file: Recipe in TOML; each game takes the options of `[game]` that it has.
        data: Data set; `digits` if not given.
        nets: Networks; `mlp` if not given.
        overrides: Any keys of the recipe, such as `nets.width=64 game.lr=1e-3`.
        n_steps: Moves to play.
        batch_size: Instances of a move.
        seeds: Runs of each game.
        verify: Training instances to retrain without, one at a time, for the rank
            agreement of influence and truth; 0 checks nothing.
        last_epochs: Passes over the data that are traced and retrained; 0 is the whole run.
        jobs: Runs at once, each in a process of its own.
        executor: Who plays them, instead of processes of this machine.
        out: Folder to write; `runs/compare` if not given.
        resume: Finish an interrupted call; what is in the folder is never played again.

    Raises:
        ConfigError: If there are no seeds.
    """
    del resume  # the folder makes every call continue
    if seeds < 1:
        raise ConfigError(f"`--seeds` must be at least 1, got {seeds}.")
    named = {
        "data.name": data,
        "nets.name": nets,
        "play.n_steps": n_steps,
        "play.batch_size": batch_size,
    }
    names = [name.strip() for name in games.split(",") if name.strip()]
    base = BARE if file is None else read_tables(file)
    folder = RUNS / "compare" if out is None else out
    with _show.stage(f"Compare {', '.join(names)}"):
        rows = _games_study.compare_games(
            _options.tables_of(base, overrides, named=named),
            names,
            folder,
            seeds=range(seeds),
            check=_games_study.Check(verify, last_epochs),
            n_jobs=jobs,
            executor=executor,
        )
    table = _games_study.summarise(rows)
    write_table(folder / "runs.csv", rows)
    write_table(folder / "results.csv", table)
    drawn = [{**row, "model": row["game"]} for row in table if row["of_real"] is not None]
    figures.save(figures.score_spread(drawn), folder / "games")
    _show.table("Games", table)
    _show.say(f"The table and its figure are in {folder}")
