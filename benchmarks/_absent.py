"""Stands in for a package: whatever is imported from it exists, and nothing of it works.

Some peers import it at the top of files whose metrics do without it.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any


_PACKAGE = __name__


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Nothing


class _Names(type):
    def __getattr__(cls, name: str) -> Any:
        return __getattr__(name)


class _Nothing(metaclass=_Names):
    pass


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        del path, target
        if fullname.startswith(f"{_PACKAGE}."):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = __getattr__


sys.meta_path.append(_Finder())
__version__ = "0.0"
