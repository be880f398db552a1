"""`counterplay report`."""

from counterplay.cli import _options, _show
from counterplay.cli._folder import RunFolder
from counterplay.report import page


def report(run: _options.Run) -> None:
    """Write everything a run folder holds into one HTML page.

    Writes report.html, which needs no other file, and the figures as SVG and PNG.

    Args:
        run: Run folder.
    """
    with RunFolder.open(run).locked() as folder, _show.stage("Writing the report"):
        page.save_figures(folder.path)
        path = page.build(folder.path, data=folder.data)
    _show.say(f"The report is {path}")
