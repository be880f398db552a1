"""What torch-mimicry trains with, without the parts that it trains without.

They need TensorFlow, and modules that PyTorch has no more.
"""

import sys
from types import ModuleType


for part in ("datasets", "metrics"):
    sys.modules[f"torch_mimicry.{part}"] = ModuleType(part)

from torch_mimicry.nets import dcgan, sngan  # noqa: E402
from torch_mimicry.nets.gan import gan  # noqa: E402
from torch_mimicry.training.metric_log import MetricLog  # noqa: E402


__all__ = ["MetricLog", "dcgan", "gan", "sngan"]
