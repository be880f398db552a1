"""`counterplay experiment`."""

import json
from pathlib import Path
from typing import Annotated

from tyro.conf import arg, Positional

from counterplay import _experiment
from counterplay.cli import _options, _show
from counterplay.cli._folder import write_table
from counterplay.cli._place import RUNS
from counterplay.report import figures, spectra


def experiment(
    file: Annotated[Positional[Path], arg(metavar="FILE")],
    *,
    seeds: int = 3,
    jobs: int = 1,
    executor: _options.Executor = None,
    out: _options.Out = None,
    resume: bool = False,
) -> None:
    """Run an experiment that a TOML file describes.

    Prints its table, and writes it with all finished retrainings. The files are in
    `experiments`, those of the papers in the papers' size and in a small one.

    Args:
        file: The experiment.
        seeds: Runs to repeat it over.
        jobs: Seeds at once, each in a process of its own.
        executor: Who computes the seeds if `jobs` asks for several at once, else the
            retrainings of each; see `counterplay verify --help`.
        out: Folder to write; if not given, named like the file, in `runs`.
        resume: Finish an interrupted call; what is in the folder is never retrained again.
    """
    del resume  # the folder makes every call continue
    folder = RUNS / file.stem if out is None else out
    with _show.stage(f"Experiment {file.stem}"):
        rows = _experiment.run(
            file, folder, seeds=range(seeds), n_jobs=jobs, executor=executor
        )
    write_table(folder / "results.csv", rows)
    profiles = [folder / f"profiles_{seed}.json" for seed in range(seeds)]
    if all(path.exists() for path in profiles):  # of a study of spectra
        drawn = spectra.spectrum_profiles([json.loads(p.read_text()) for p in profiles])
        figures.save(drawn, folder / "profiles")
    _show.table(file.stem, rows)
    _show.say(f"The table is in {folder / 'results.csv'}")
