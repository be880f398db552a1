"""`counterplay fit`."""

import importlib
from typing import Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from counterplay.cli._jobs import Outliers, Series


def fit(
    what: OmitSubcommandPrefixes[
        OmitArgPrefixes[
            Annotated[Outliers, subcommand("outliers")]
            | Annotated[Series, subcommand("series")]
        ]
    ],
) -> None:
    """Fit a detector of outliers or of faults in series, and write it to a folder.

    Args:
        what: The job.
    """
    # PyTorch and scikit-learn are not needed to print the help.
    importlib.import_module("counterplay.cli._fitting").fit(what)
