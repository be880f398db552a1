"""Bergson's side of `magic.py`; runs in the environment that holds Bergson."""

# pyright: reportMissingImports=false

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torchopt
from _exchange import Tracing, write_tracing
from bergson.magic import BackwardState, Trainer
from torch import nn, Tensor
from torch.nn.functional import cross_entropy
from torchopt.pytree import tree_iter


SAVE_MODE = "sqrt"  # Bergson's default
OPTIMIZERS = {"sgd": torchopt.sgd, "adam": torchopt.adam, "adamw": torchopt.adamw}


class Weighted(nn.Module):
    """A classifier that returns its weighted mean loss, as the trainer wants it."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, y: Tensor, example_weight: Tensor, **_) -> Tensor:
        losses = cross_entropy(self.module(x), y, reduction="none")
        return (example_weight * losses).sum() / len(x)


class Stream:
    """The batches of the recorded run, in its order; stands in for Bergson's stream."""

    device = torch.device("cpu")

    def __init__(self, x: Tensor, y: Tensor, order: Tensor):
        self.x, self.y, self.order = x, y, order
        self.weights = nn.Parameter(torch.ones(len(x), dtype=x.dtype))

    @property
    def requires_grad(self) -> bool:
        return self.weights.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.weights.requires_grad = value

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        index = self.order[i]
        return {
            "x": self.x[index],
            "y": self.y[index],
            "example_weight": self.weights[index],
            "shift_loss_mask": torch.ones(len(index)),  # only its sum is read
        }


class Bergson(Tracing):
    """Train with Bergson's trainer, then pull the held-out loss back."""

    def __init__(self, given: dict[str, Any], n_steps: int):
        torch.set_default_dtype(given["x"].dtype)
        self.given = given
        rule = OPTIMIZERS[given["optimizer"]](**given["options"])
        self.trainer, self.state = Trainer.initialize(Weighted(given["module"]), rule)
        self.stream = Stream(given["x"], given["y"], given["order"][:n_steps])
        self.folder = tempfile.TemporaryDirectory()

    def train(self) -> Tensor:
        self.state = self.trainer.train(
            self.state, self.stream, save_dir=self.folder.name, save_mode=SAVE_MODE
        )
        return torch.cat([p.detach().flatten() for p in self.state.params.values()])

    def trace(self) -> Tensor:
        end = self.state
        params = {k: p.detach().requires_grad_() for k, p in end.params.items()}
        inner = {k.removeprefix("module."): p for k, p in params.items()}
        module = self.trainer.model.module
        logits = torch.func.functional_call(module, inner, self.given["test_x"])
        loss = cross_entropy(logits, self.given["test_y"])
        grads = torch.autograd.grad(loss, list(params.values()))
        memory = [
            torch.zeros_like(leaf)
            for leaf in tree_iter(end.opt_state)
            if isinstance(leaf, Tensor) and leaf.is_floating_point()
        ]
        seed = BackwardState(
            dict(zip(params, grads, strict=True)),
            memory,
            torch.zeros_like(self.stream.weights),
        )
        found = self.trainer.backward(
            self.folder.name, self.stream, seed, end, save_mode=SAVE_MODE
        )
        return found.weight_grads.detach()


if __name__ == "__main__":
    write_tracing(Path(sys.argv[1]), Path(sys.argv[2]), Bergson)
