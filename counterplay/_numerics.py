"""Where and how the numbers of a run are computed.

Device, precision and memory format decide the last bits of every state, so they belong to
the record: a replay computes as the first pass did. A trace needs exact derivatives of
those same moves, and is refused where the moves were rounded to fewer bits.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import get_args, Literal

import torch
from torch import Tensor

from counterplay._step import by_autograd, Gradient, LossOfParams
from counterplay.errors import GameError, TraceError
from counterplay.game import State
from counterplay.typing import Scalar, Tensors


Precision = Literal["float32", "tf32", "bfloat16"]
MemoryFormat = Literal["channels_last", "contiguous"]
_FORMATS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


@dataclass(frozen=True)
class Numerics:
    """Where and how a run is computed.

    Attributes:
        device: Where.
        precision: What float32 networks multiply in. `"tf32"` rounds factors to 10 bits on
            NVIDIA GPUs, `"bfloat16"` computes networks in 8 bits; parameters, losses and
            update rules stay in float32. Networks in float64 know only `"float32"`, which
            rounds nothing more.
        memory_format: Order of images in memory; `"channels_last"` is mostly faster.
        n_ranks: Processes that share each batch.
    """

    device: str = "cpu"
    precision: Precision = "float32"
    memory_format: MemoryFormat = "channels_last"
    n_ranks: int = 1

    def __post_init__(self):
        choices = {"precision": Precision, "memory_format": MemoryFormat}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise GameError(
                    f"There is no {name} {getattr(self, name)!r}; there are "
                    f"{list(get_args(kind))}."
                )
        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            raise GameError(
                f"There is no device {self.device!r}; there are 'cpu', 'cuda', 'cuda:1' "
                "and others that PyTorch knows."
            ) from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise GameError(
                f"The device is {self.device!r}, but PyTorch finds no GPU here. Use 'cpu', "
                "or a machine with a GPU and PyTorch for CUDA."
            )
        if self.precision == "tf32" and device.type != "cuda":
            raise GameError(
                f"`precision='tf32'` is an arithmetic of NVIDIA GPUs, but the device is "
                f"{self.device!r}. Use 'float32', or 'bfloat16'."
            )

    def place(self, state: State) -> State:
        """The state on the device and in the memory format; itself if it is so already."""
        tensors = state.tensors()
        placed = {
            name: self.ordered(tensor.to(self.device)) for name, tensor in tensors.items()
        }
        moved = any(tensor is not tensors[name] for name, tensor in placed.items())
        return state.with_tensors(placed) if moved else state

    def ordered(self, tensor: Tensor) -> Tensor:
        """The tensor in the memory format, if it has images' four axes."""
        if tensor.dim() != 4:
            return tensor
        # Itself where both formats are the same, so that kernels see the same strides
        # whether a state has been on disk or not.
        return tensor.contiguous(memory_format=_FORMATS[self.memory_format])

    @property
    def _has_channels_last(self) -> bool:
        return self.memory_format == "channels_last"

    def arithmetic(self) -> AbstractContextManager[None]:
        """A context in which GPUs compute in this precision, and alike every time."""
        return nullcontext() if self.device == "cpu" else self._on_gpu()

    @contextmanager
    def _on_gpu(self) -> Iterator[None]:
        products, fast = torch.backends.cuda.matmul, self.precision == "tf32"
        before = products.allow_tf32
        products.allow_tf32 = fast
        try:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=fast
            ):
                yield
        finally:
            products.allow_tf32 = before

    @property
    def gradient(self) -> Gradient:
        """How players differentiate their losses."""
        if self.precision == "bfloat16":
            return self._in_bfloat16
        return partial(by_autograd, channels_last=self._has_channels_last)

    def _in_bfloat16(
        self, loss: LossOfParams, params: Tensors
    ) -> tuple[Tensors, Scalar, Tensors]:
        def rounded(params: Tensors) -> tuple[Scalar, Tensors]:
            with torch.autocast(torch.device(self.device).type, torch.bfloat16):
                return loss(params)

        return by_autograd(
            rounded, params, channels_last=self._has_channels_last, by_hand=False
        )

    def require_playable(self, state: State) -> None:
        """Refuse to round what is not float32.

        Raises:
            GameError: If a parameter has another dtype.
        """
        dtypes = {t.dtype for group in state.params.values() for t in group.values()}
        if self.precision != "float32" and dtypes != {torch.float32}:
            raise GameError(
                f"`precision={self.precision!r}` is for networks in float32, but there are "
                f"parameters in {sorted(map(str, dtypes))}. Leave `precision` out, or load "
                "the data in float32."
            )

    def require_traceable(self) -> None:
        """Refuse a trace of rounded moves.

        Raises:
            TraceError: If the precision is less than float32.
        """
        if self.precision != "float32":
            raise TraceError(
                f"The run was played with `precision={self.precision!r}`. Its moves can be "
                "repeated, but they are rounded so coarsely that their derivatives do not "
                "predict what a removal changes. Play it with `precision='float32'` to "
                "trace it."
            )
