"""Shape checking: the mathematical modules check their annotations while the tests run."""

from jaxtyping import install_import_hook
import torch


CHECKED = (
    "counterplay.losses",
    "counterplay.penalties",
    "counterplay.metrics",
)

install_import_hook(CHECKED, "beartype.beartype")
torch.set_num_threads(1)
