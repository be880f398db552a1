"""The front door: names that cost nothing until they are used."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import counterplay


ROOT = Path(counterplay.__file__).parents[1]


def run_fresh(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_importing_loads_neither_torch_nor_any_game():
    heavy = "{'torch', 'sklearn', 'matplotlib', 'scipy', 'numpy', 'counterplay.games'}"
    assert (
        run_fresh(f"import counterplay, sys; print({heavy} & set(sys.modules))")
        == "set()\n"
    )


def test_the_top_level_help_loads_nothing_heavy():
    code = (
        "import sys; from counterplay.__main__ import main; main(['--help']); "
        "print({'torch', 'tyro', 'sklearn', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    assert run_fresh(code).endswith("set()\n")


def test_the_names_a_type_checker_sees_are_those_there_are():
    tree = ast.parse((ROOT / "counterplay/__init__.py").read_text())
    seen = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("counterplay")
        for alias in node.names
    }
    assert seen | {"__version__"} == set(dir(counterplay))


@pytest.mark.parametrize("name", dir(counterplay))
def test_every_name_is_found(name):
    assert getattr(counterplay, name) is not None


def test_there_are_at_most_25_names():
    modules = set(counterplay._MODULES)
    assert len(set(dir(counterplay)) - modules - {"__version__"}) <= 25


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'plya'"):
        _ = counterplay.plya


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert counterplay.__version__ == project["version"]
