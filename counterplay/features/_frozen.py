"""What feature maps share: a frozen network, a hash of its weights, and its rows."""

import copy
import hashlib
from typing import TypeVar

import torch
from torch import nn, Tensor

from counterplay.errors import DataError


Module = TypeVar("Module", bound=nn.Module)


def frozen(module: Module) -> Module:
    """A copy in evaluation mode whose parameters are constants."""
    module = copy.deepcopy(module).eval()
    for parameter in module.parameters():  # copies of TorchScript's are not even leaves
        parameter.detach_()
    return module


def fingerprint(module: nn.Module) -> str:
    """A hash of every parameter and buffer with its name, dtype and shape."""
    digest = hashlib.blake2b(digest_size=12)
    for name, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def rows(module: nn.Module, x: Tensor) -> Tensor:
    """The output for `x`, brought to where the network is and to its dtype; one row each.

    Raises:
        DataError: If the output is not one row per instance.
    """
    held = (*module.parameters(), *module.buffers())
    like = next((tensor for tensor in held if tensor.is_floating_point()), x)
    output = module(x.to(like.device, like.dtype))
    if not isinstance(output, Tensor) or output.shape[:1] != x.shape[:1]:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise DataError(
            f"The feature network gives {got} for {len(x)} instances of shape "
            f"{tuple(x.shape[1:])}. It must give one tensor with one row per instance; "
            "wrap it in a module that returns the features alone."
        )
    return output.flatten(1)
