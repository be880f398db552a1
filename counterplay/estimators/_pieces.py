"""Attributes taken apart into JSON and tensors, and put together again."""

import functools
import inspect
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterplay.errors import ConfigError
from counterplay.game import Columns


class Pieces:
    """Attributes taken apart into JSON and tensors, and put together again.

    A function is known by its name in the module of the detector, and only there.
    """

    def __init__(self, module: ModuleType, tensors: dict[str, Tensor]):
        self.module, self.tensors = module, tensors

    def pack(self, value: Any, name: str) -> Any:
        """JSON that refers to tensors.

        Raises:
            ConfigError: If the value is of a kind that no detector has.
        """
        inside = lambda values: [
            self.pack(one, f"{name}/{key}") for key, one in enumerate(values)
        ]
        match value:
            case None | bool() | int() | float() | str():
                return value
            case np.generic():
                return value.item()
            case Tensor():
                self.tensors[name] = value
                return {"tensor": name}
            case np.ndarray() if value.dtype.kind in "biuf":
                self.tensors[name] = torch.from_numpy(np.ascontiguousarray(value))
                return {"array": name}
            case np.ndarray():
                return {"texts": [str(one) for one in value]}
            case list():
                return {"list": inside(value)}
            case tuple() if value == tuple(map(str, range(len(value)))):
                return {"numbers": len(value)}
            case tuple():
                return {"tuple": inside(value)}
            case dict():
                return {"dict": [
                    [self.pack(key, name), self.pack(one, f"{name}/{key}")]
                    for key, one in value.items()
                ]}  # fmt: skip
            case Columns():
                return {"columns": {
                    "tensors": self.pack(dict(value.tensors), name),
                    "ids": self.pack(value.ids, name),
                    "kind": value.kind,
                }}  # fmt: skip
            case functools.partial():
                return {"call": self._name_of(value.func), "with": inside(
                    [value.args, dict(value.keywords)]
                )}  # fmt: skip
        raise ConfigError(
            f"The attribute {name!r} is a {type(value).__name__}, which a model folder "
            "cannot hold. Remove it, and save again."
        )

    def unpack(self, packed: Any) -> Any:
        """What was packed.

        Raises:
            ValueError: If it is not what `pack` gives.
        """
        if not isinstance(packed, dict):
            return packed
        tag, inside = next(iter(packed.items()))
        match tag:
            case "tensor":
                return self.tensors[inside]
            case "array":
                return self.tensors[inside].numpy()
            case "texts":
                return np.array(inside, dtype=object)
            case "numbers":
                return tuple(map(str, range(inside)))
            case "list" | "tuple":
                found = map(self.unpack, inside)
                return list(found) if tag == "list" else tuple(found)
            case "dict":
                return {self.unpack(key): self.unpack(one) for key, one in inside}
            case "columns":
                return Columns(
                    self.unpack(inside["tensors"]),
                    self.unpack(inside["ids"]),
                    inside["kind"],
                )
            case "call":
                args, keywords = map(self.unpack, packed["with"])
                return functools.partial(self._function(inside), *args, **keywords)
        raise ValueError(f"{tag!r} is no kind of value")

    def _name_of(self, function: Any) -> str:
        name = getattr(function, "__name__", "")
        if getattr(self.module, name, None) is not function:
            raise ConfigError(
                f"The game is made by {function!r}, which is not a function of "
                f"{self.module.__name__!r}, so that it could not be found again."
            )
        return name

    def _function(self, name: str) -> Any:
        function = getattr(self.module, name)
        if not inspect.isfunction(function):
            raise ValueError(f"{name!r} is no function")
        return function
