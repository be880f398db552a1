"""Networks as functions of every player's tensors."""

from typing import Any

import torch
from torch import nn, Tensor

from counterplay import _layers
from counterplay.typing import Params


class Network:
    """A module as a function of every player's tensors; `apply_of` makes it."""

    def __init__(self, player: str, module: nn.Module, part: str = ""):
        self.player, prefix = player, part and f"{part}."
        self._training = _layers.Borrowed(_layers.pure(module).train(), prefix)
        self._evaluation = _layers.Borrowed(_layers.pure(module).eval(), prefix)

    def __call__(self, params: Params, *inputs: Tensor) -> Any:
        """The output in training mode, one tensor or several.

        New buffers are written into `params[player]`.

        Where the network is computed in bfloat16, its output is put back in float32.
        """
        return _widened(self._training(params[self.player], *inputs))

    def evaluated(self, params: Params, *inputs: Tensor) -> Any:
        """The output in evaluation mode, for generating and scoring."""
        return self._evaluation(params[self.player], *inputs)


def _widened(output: Any) -> Any:
    """What a network gives, in float32 if it was rounded further."""
    if isinstance(output, tuple):
        return tuple(_widened(each) for each in output)
    return output.float() if output.dtype == torch.bfloat16 else output


def apply_of(player: str, module: nn.Module, part: str = "") -> Network:
    """The network of `player` as a function `(params, *inputs)` without side effects.

    Where a player has several, in an `nn.ModuleDict`, `part` is the name of this one.
    """
    return Network(player, module, part)
