"""From a verb and its options to a function call."""

import importlib
from collections.abc import Callable, Sequence

import tyro


def function_of(verb: str) -> Callable[..., None]:
    """The function of a verb: it has the verb's name, in a file of that name."""
    return getattr(importlib.import_module(f"counterplay.cli.{verb}"), verb)


def call(verb: str, options: Sequence[str]) -> None:
    """Call the function of a verb with the options that its signature describes."""
    if not {"-h", "--help"} & set(options):  # a help text must not wait for PyTorch
        importlib.import_module("counterplay.cli._launch").require_alone(verb)
    tyro.cli(
        function_of(verb),
        args=options,
        prog=f"counterplay {verb}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
