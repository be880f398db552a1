"""`counterplay review`."""

import importlib
import threading
import webbrowser
from pathlib import Path
from typing import Any

from counterplay.cli import _options, _scores, _show
from counterplay.cli._folder import RunFolder
from counterplay.errors import MissingExtraError
from counterplay.report import records


def review(run: _options.Run, *, port: int = 0, no_browser: bool = False) -> None:
    """Look at the instances of a run in the browser, mark them and retrain.

    Serves a page on this machine alone, behind a fresh token, until Ctrl-C. What is marked
    is in review.json of the run folder at once; the folder review holds the exports. Needs
    the extra `review`.

    Args:
        run: Run folder that has been traced.
        port: Where to listen; 0 takes one that is free.
        no_browser: Print the address of the page without opening it.
    """
    server = _optional("counterplay.review.server")
    instances = importlib.import_module("counterplay.review.instances")
    folder = RunFolder.open(run)
    _scores.load_influences(folder)  # or there is nothing to review
    recipe = folder.recipe

    def ready(address: str) -> None:
        _show.say(f"The review is at {address}")
        _show.say("Ctrl-C ends it; what was marked is kept.")
        if not no_browser:  # in a thread, as a browser of the terminal would not return
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    named = recipe.data["name"] == "image_folder"
    server.serve(
        instances.Instances(
            records.read(run),
            folder.data,
            scaling=recipe.splits.scaling,
            files=Path(recipe.data["path"]) if named else None,
        ),
        port=port,
        on_ready=ready,
    )


def _optional(module: str) -> Any:
    """A module that needs the extra `review`.

    Raises:
        MissingExtraError: If a package of it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"`counterplay review` needs packages that cannot be imported: {error}. "
            'Install them with `pip install "counterplay[review]"`. `counterplay report` '
            "shows the same instances without them."
        ) from error
