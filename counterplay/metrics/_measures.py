"""How a number of a game's state is computed and differentiated."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from counterplay import _rng
from counterplay.errors import MetricError
from counterplay.game import Draw, Sample, State
from counterplay.typing import Noise, Params, Tensors


TRAINED = ("params/", "averages/")  # where a gradient must arrive to be of use


@runtime_checkable
class Measure(Protocol):
    """How a target is computed."""

    def value(self, state: State) -> Tensor:
        """The metric, without a graph."""
        ...

    def gradient(self, state: State) -> tuple[Tensor, Tensors]:
        """The metric and its derivative by the state's tensors, under their flat names."""
        ...


@dataclass(frozen=True)
class StateMeasure:
    """A function of every player's tensors."""

    name: str
    function: Callable[[Params], Tensor]
    averaged: bool = False

    def value(self, state: State) -> Tensor:
        """The metric, without a graph."""
        with torch.no_grad():
            return torch.as_tensor(self.function(state.view(averaged=self.averaged)))

    def gradient(self, state: State) -> tuple[Tensor, Tensors]:
        """The metric and its derivative, through one graph."""
        leaves = _leaves(state)
        with torch.enable_grad():
            view = _on(state, leaves).view(averaged=self.averaged)
            value = torch.as_tensor(self.function(view))
        _refuse_without_gradient(self.name, value)
        return value.detach(), _pulled(value, leaves, torch.ones_like(value))


@dataclass(frozen=True)
class SampleMeasure:
    """A function of what a game generates: `rows` turns samples into what `metric` reads.

    The derivative takes two passes. The first generates everything without a graph, and the
    metric is differentiated by the rows alone; the second generates chunk by chunk and
    pulls the rows' cotangent back to the state. Only one chunk's graph exists at a time.
    """

    name: str
    metric: Callable[[Tensor], Tensor]
    rows: Callable[[Tensor], Tensor]
    draw: Draw
    sample: Sample
    n: int
    seed: int
    averaged: bool
    chunk: int

    def value(self, state: State) -> Tensor:
        """The metric, without a graph."""
        with torch.no_grad():
            return torch.as_tensor(self.metric(self.all_rows(state)))

    def gradient(self, state: State) -> tuple[Tensor, Tensors]:
        """The metric and its derivative, in two passes."""
        rows = self.all_rows(state)
        leaf = rows.detach().requires_grad_()
        with torch.enable_grad():
            value = torch.as_tensor(self.metric(leaf))
        _refuse_without_gradient(self.name, value)
        (cotangent,) = torch.autograd.grad(value, leaf, torch.ones_like(value))

        leaves, total = _leaves(state), {}
        parts = zip(rows.split(self.chunk), cotangent.split(self.chunk), strict=True)
        for noise, (first, pull) in zip(self._noise(state), parts, strict=True):
            with torch.enable_grad():
                again = self._generated(_on(state, leaves), noise)
            self._check_repeated(first, again)
            for name, part in _pulled(again, leaves, pull).items():
                total[name] = total[name] + part if name in total else part
        return value.detach(), total

    def all_rows(self, state: State) -> Tensor:
        """What the metric reads of a state's samples, without a graph.

        Raises:
            MetricError: If a sample's rows are not finite.
        """
        with torch.no_grad():
            rows = torch.cat(
                [self._generated(state, noise) for noise in self._noise(state)]
            )
        finite = torch.isfinite(rows).flatten(1).all(1)
        if not finite.all():
            raise MetricError(
                f"{int((~finite).sum())} of {self.n} samples at move {state.step} have "
                f"features that are NaN or infinite, so metric {self.name!r} has no value. "
                "Most likely the generator has diverged: look at its losses, or measure an "
                "earlier state."
            )
        return rows

    def _generated(self, state: State, noise: Noise) -> Tensor:
        samples = self.sample(state.view(averaged=self.averaged), noise)
        # Every CPU has float64, some accelerators do not, and the metric itself is cheap.
        return self.rows(samples).to("cpu", torch.float64)

    def _noise(self, state: State) -> Iterator[Noise]:
        # The same at every call, in the dtype of the parameters.
        view = state.view(averaged=self.averaged)
        with torch.no_grad():
            noise = self.draw(self.n, _rng.generator(self.seed, "metric"), view)
        tensors = (tensor for player in view.values() for tensor in player.values())
        like = next(tensor for tensor in tensors if tensor.is_floating_point())
        cast = {}
        for name, entry in noise.items():
            if entry.shape[:1] != (self.n,):
                raise MetricError(
                    f"The game draws noise {name!r} of shape {tuple(entry.shape)} for "
                    f"{self.n} samples, so metric {self.name!r} cannot generate them in "
                    "chunks. Let `draw` give every entry one row per sample."
                )
            dtype = like.dtype if entry.is_floating_point() else None
            cast[name] = entry.to(like.device, dtype).split(self.chunk)
        for i in range(-(-self.n // self.chunk)):
            yield {name: entry[i] for name, entry in cast.items()}

    def _check_repeated(self, first: Tensor, again: Tensor) -> None:
        # With a graph other kernels may run, so they agree to rounding only.
        if not torch.allclose(
            first, again, rtol=1e-3, atol=1e-3 * float(first.abs().max())
        ):
            raise MetricError(
                "The same latents gave other features the second time, so the gradient of "
                f"metric {self.name!r} would be wrong. The game's `sample` or the feature "
                "map draws random numbers of its own: take them from `noise`, switch off "
                "dropout."
            )


def _leaves(state: State) -> Tensors:
    """The tensors that a metric may read, ready to be differentiated by."""
    return {
        name: tensor.detach().requires_grad_()
        for name, tensor in state.tensors().items()
        if tensor.is_floating_point() and name.startswith((*TRAINED, "buffers/"))
    }


def _on(state: State, leaves: Tensors) -> State:
    return state.with_tensors({**state.tensors(), **leaves})


def _pulled(output: Tensor, leaves: Tensors, cotangent: Tensor) -> Tensors:
    """The cotangent of an output pulled back to the leaves it depends on."""
    if not output.requires_grad:
        return {}
    parts = torch.autograd.grad(output, list(leaves.values()), cotangent, allow_unused=True)
    return {
        name: part for name, part in zip(leaves, parts, strict=True) if part is not None
    }


def _refuse_without_gradient(name: str, value: Tensor) -> None:
    if not value.requires_grad:
        raise MetricError(
            f"Metric {name!r} cannot be differentiated: nothing that led to its value has "
            "a gradient, and a trace would return zeros that look like an answer. It reads "
            "no parameter, or goes through `detach`, NumPy, a comparison or an argmax. Its "
            "value can be reported; trace another metric."
        )
