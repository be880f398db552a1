"""Shape checking: the mathematical modules check their annotations while the tests run."""

import torch
from jaxtyping import install_import_hook


CHECKED = (
    "counterplay.losses",
    "counterplay.penalties",
    "counterplay.metrics",
)

install_import_hook(CHECKED, "beartype.beartype")
torch.set_num_threads(1)
