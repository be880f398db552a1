"""`counterplay report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from torch import Tensor
from tyro.conf import arg, Positional

from counterplay.cli import _pictures, _show
from counterplay.cli._folder import RunFolder
from counterplay.errors import ConfigError
from counterplay.estimators import _saved
from counterplay.report import compare, gallery, model, page


def report(
    runs: Annotated[Positional[Sequence[Path]], arg(metavar="RUN")],
    *,
    n_instances: int = gallery.N_SHOWN,
    out: Annotated[Path | None, arg(metavar="FILE")] = None,
) -> None:
    """Show what a run folder holds in one HTML page, or compare several runs.

    The page needs no other file. For one run it is report.html in its folder, with the
    figures as SVG and PNG beside it; for several it is compare.html where you are. The
    folder of a model that `counterplay fit` wrote gets its page again.

    Args:
        runs: Run folders, or the folder of a fitted model.
        n_instances: Instances to show, from both ends of every ranking.
        out: Page to write instead.

    Raises:
        ConfigError: If there is no folder, or nothing to show.
    """
    if not runs or n_instances < 1:
        raise ConfigError(
            "`counterplay report` takes at least one run folder and at least one instance "
            f"to show, got {len(runs)} folders and `--n-instances {n_instances}`."
        )
    with _show.stage("Writing the report"):
        if len(runs) > 1:
            path = compare.build(runs, out=out or Path("compare.html"))
        elif (runs[0] / "model.toml").is_file():
            tables = _saved.read_tables(runs[0])
            path = model.build(model.Fitted.load(runs[0], tables), out=out)
        else:
            path = _write(runs[0], n_instances, out)
    _show.say(f"The report is {path}")


def _write(run: Path, n_instances: int, out: Path | None) -> Path:
    with RunFolder.open(run).locked() as folder:
        page.save_figures(folder.path)
        return page.build(
            folder.path,
            data=folder.data,
            samples=_samples(folder),
            scaling=folder.recipe.splits.scaling,
            n_instances=n_instances,
            out=out,
        )


def _samples(folder: RunFolder) -> Tensor | None:
    """What the run generates at its end, if it has come there."""
    checkpoints = folder.checkpoints
    if folder.n_steps not in checkpoints:
        return None
    final, game = checkpoints[folder.n_steps], folder.recipe.make_game()
    return _pictures.samples(folder, game, final, gallery.N_SAMPLES)
