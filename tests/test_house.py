"""House rules: every module has its tests, files stay short, imports stay on top."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import counterplay


TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "counterplay"
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.read_text().strip()]
# A user may lack them; imported where they are used.
EXTRAS = {"pandas", "torch.utils.tensorboard"}
ELSEWHERE = {  # module: its test
    "__init__.py": "test_house.py",
    "__main__.py": "cli/test_cli.py",
    "typing.py": "test_house.py",
    "errors.py": "test_house.py",
}
BUDGETS = {"games": 150, "metrics": 100}  # lines of a public file of a family; else 400
LONGER = {"metrics/target.py"}
each_file = pytest.mark.parametrize(
    "path", FILES, ids=[path.relative_to(PACKAGE).as_posix() for path in FILES]
)


def inside(path):
    return path.relative_to(PACKAGE)


@each_file
def test_every_module_has_a_test_of_its_name(path):
    """The file `test_<module>.py`, or `test_<family>.py` for a member of a family."""
    module = inside(path)
    if path.stem == "__init__" and not functions_of(path):
        return  # names only
    family = module.parent.name
    own = [module.parent / f"test_{name}.py" for name in (path.stem.strip("_"), family)]
    elsewhere = ELSEWHERE.get(module.as_posix())
    names = [name.as_posix() for name in own] if elsewhere is None else [elsewhere]
    assert any((TESTS / name).exists() for name in names), names


@each_file
def test_files_stay_short(path):
    module = inside(path)
    budget = BUDGETS.get(module.parent.name, 400)
    if path.stem.startswith("_") or module.as_posix() in LONGER:
        budget = 400
    assert len(path.read_text().splitlines()) <= budget


@each_file
def test_functions_stay_short(path):
    for function in functions_of(path):
        lines = lines_of(function)
        for inner in ast.walk(function):
            if isinstance(inner, ast.FunctionDef) and inner is not function:
                lines -= lines_of(inner)
        assert len(lines) <= 50, function.name


def functions_of(path):
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def lines_of(function):
    """The lines of a body without its docstring."""
    begin = function.body[0]
    begin = begin.end_lineno + 1 if ast.get_docstring(function) else begin.lineno
    return set(range(begin, function.end_lineno + 1))


@each_file
def test_imports_stand_on_top_and_are_absolute(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level)
    for function in functions_of(path):
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom):
                assert node.module in EXTRAS, function.name
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= EXTRAS, function.name


@each_file
def test_no_test_is_promised_for_later(path):
    text = path.read_text()
    assert "TODO" not in text
    assert "NotImplementedError" not in text


def test_test_files_have_names_of_their_own():
    # pytest imports them by name, so two of the same name would hide each other.
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_the_package_offers_few_names_and_all_of_them_exist():
    names = [name for name in dir(counterplay) if not name.startswith("_")]
    modules = [
        name
        for name in names
        if (PACKAGE / name).is_dir()
        or name in ("baselines", "fairness", "live", "optim", "scoring")
    ]
    assert len(names) - len(modules) <= 25
    for name in names:
        assert getattr(counterplay, name) is not None
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'"):
        _ = counterplay.nothing


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, counterplay; print([m for m in ('torch', 'sklearn', 'matplotlib') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_every_error_is_also_what_a_caller_expects():
    errors = importlib.import_module("counterplay.errors")
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(classes) == 11
    for error in classes:
        assert issubclass(error, errors.CounterplayError)
        builtin = {b for b in error.__mro__ if b.__module__ == "builtins"} - {Exception}
        assert error is errors.CounterplayError or len(builtin) > 2
