"""From a verb and its options to a function call."""

import importlib
from collections.abc import Sequence

import tyro


def call(verb: str, options: Sequence[str]) -> None:
    """Call the function of a verb with options as its signature and docstring describe them."""
    function = getattr(importlib.import_module(f"counterplay.cli.{verb}"), verb)
    tyro.cli(
        function,
        args=options,
        prog=f"counterplay {verb}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
