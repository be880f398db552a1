"""Recurrent networks for windows of time series."""

import torch
from torch import nn, Tensor


class _PerStep(nn.Module):
    """An LSTM and the same linear map at every step of time."""

    def __init__(self, n_in: int, n_out: int | None, *, width: int, depth: int):
        super().__init__()
        self.recurrent = nn.LSTM(n_in, width, depth, batch_first=True)
        self.readout = nn.Linear(width, 1 if n_out is None else n_out)
        self.bounded = n_out is not None

    def forward(self, windows: Tensor) -> Tensor:
        """One row per step, or one number for a discriminator."""
        with torch.backends.cudnn.flags(enabled=False):  # it has no second derivative
            hidden, _ = self.recurrent(windows)
        values = self.readout(hidden)
        return values.tanh() if self.bounded else values.squeeze(-1)


def lstm_generator(
    latent_dim: int, d: int, *, width: int = 32, depth: int = 1
) -> nn.Module:
    """From a latent per step of time to a window of `d` channels in (-1, 1).

    PyTorch's own LSTM, which has second derivatives but cannot be stacked by `vmap`: many
    retrainings of such a game are computed one after the other.

    Args:
        latent_dim: Numbers per step that come in.
        d: Channels.
        width: Units of each layer.
        depth: Recurrent layers.

    Returns:
        The network, `(batch, time, latent_dim) -> (batch, time, d)`.
    """
    return _PerStep(latent_dim, d, width=width, depth=depth)


def lstm_discriminator(d: int, *, width: int = 32, depth: int = 1) -> nn.Module:
    """From a window to one logit per step of time, high for real.

    Args:
        d: Channels.
        width: Units of each layer.
        depth: Recurrent layers.

    Returns:
        The network, `(batch, time, d) -> (batch, time)`.
    """
    return _PerStep(d, None, width=width, depth=depth)
