"""The help texts are those of `docs/cli`; `python tests/cli/test_help.py` writes them anew."""

import contextlib
import io
import os
import time
from pathlib import Path
from unittest import mock

import pytest

from counterplay import cli
from counterplay.__main__ import main, usage, VERBS
from counterplay.cli import _command


DOCS = Path(cli.__file__).parents[2] / "docs" / "cli"
PAGES = ("", *VERBS, "fit outliers", "fit series")


def page_of(verb):
    return DOCS / f"{verb.replace(' ', '-') or 'counterplay'}.txt"


def help_of(verb):
    text = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="92"), contextlib.redirect_stdout(text):
        assert main([*verb.split(), "--help"]) == 0
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


@pytest.mark.parametrize("verb", PAGES)
def test_the_help_text_is_the_one_in_the_docs(verb):
    assert help_of(verb) == page_of(verb).read_text(), "run `python tests/cli/test_help.py`"


@pytest.mark.parametrize("verb", VERBS)
def test_the_top_level_line_is_that_of_the_docstring(verb):
    assert VERBS[verb] == _command.function_of(verb).__doc__.splitlines()[0]


def test_the_top_level_help_is_fast_and_names_every_verb():
    began = time.perf_counter()
    text = usage()
    assert time.perf_counter() - began < 0.1
    assert all(f"  {verb} " in text for verb in VERBS)


if __name__ == "__main__":
    DOCS.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        page_of(name).write_text(help_of(name))
