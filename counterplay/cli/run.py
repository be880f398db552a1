"""`counterplay run`."""

from importlib import resources
from pathlib import Path

from counterplay._adjoint import MEMORY
from counterplay._toml import read_toml
from counterplay.cli import _options
from counterplay.cli._begin import begin
from counterplay.cli._folder import interruptible
from counterplay.cli.cleanse import cleanse
from counterplay.cli.play import play_folder
from counterplay.cli.report import report
from counterplay.cli.trace import trace


DEFAULT = Path(str(resources.files("counterplay.cli") / "default.toml"))


def run(
    *,
    file: _options.From = None,
    overrides: _options.Set = (),
    n_steps: _options.Number = None,
    batch_size: _options.Number = None,
    seed: _options.Number = None,
    skip_broken: bool = False,
    out: _options.Out = None,
    threads: int = 1,
    instances: int = 16,
    memory: str = MEMORY,
    last_epochs: int = 25,
    seeds: int = 6,
    jobs: int = 2,
    fractions: tuple[float, ...] = (0.05, 0.1, 0.2),
    executor: _options.Executor = None,
    chunk: int = 32,
    resume: bool = False,
    dry_run: bool = False,
) -> None:
    """Do the whole job: play, trace, verify, cleanse and report.

    Without a file it trains a small GAN on 1,078 handwritten digits, finds those that harm
    it, checks the scores by real retraining, and proves on test data what removing the most
    harmful gains. The verbs `play`, `trace`, `cleanse` and `report` do the same one by one.

    Args:
        file: Recipe in TOML, or a run folder whose recipe is played again; the embedded one
            if not given.
        overrides: Any keys of the recipe, such as `game.lr_g=1e-4 nets.width=64`.
        n_steps: Moves to play; short for `play.n_steps`.
        batch_size: Instances of a move; short for `play.batch_size`.
        seed: Determines first parameters, order and noise; short for `play.seed`.
        skip_broken: Leave out images that cannot be read; short for `data.skip_broken`.
        out: Folder to write; the next number in `runs` if not given.
        threads: Threads to compute in, outside of the jobs.
        instances: Instances to leave out to check the scores.
        memory: What states and graphs may take while tracing, such as 500MiB.
        last_epochs: Trace and retrain only the last passes over the data, which is cheaper
            and more predictable; 0 for the whole run.
        seeds: Runs over which cleansing is repeated.
        jobs: Seeds at once, each in a process of its own.
        fractions: Shares of the training set to remove.
        executor: Who retrains, see `counterplay verify --help`.
        chunk: Runs retrained at once.
        resume: Continue the interrupted job in the folder of `--out`.
        dry_run: Print the complete recipe and stop.
    """
    named = {
        "data.skip_broken": skip_broken or None,
        "play.n_steps": n_steps,
        "play.batch_size": batch_size,
        "play.seed": seed,
    }
    folder = begin(
        read_toml(DEFAULT),
        file,
        overrides,
        named,
        out=out,
        resume=resume,
        dry_run=dry_run,
        threads=threads,
        n_rows=200,
        n_scores=10,
    )
    if folder is None:
        return
    with interruptible(folder.path):
        play_folder(folder)
        trace(
            folder.path,
            epochs=last_epochs,
            instances=instances,
            memory=memory,
            executor=executor,
            chunk=chunk,
            resume=resume,
        )
        cleanse(
            folder.path,
            seeds=seeds,
            jobs=jobs,
            fractions=fractions,
            last_epochs=last_epochs,
            executor=executor,
            chunk=chunk,
        )
        report((folder.path,))
