"""A straightforward PyTorch loop, the yardstick of the benchmarks."""

import time

import torch
from torch import nn


def plain_loop(
    generator: nn.Module,
    discriminator: nn.Module,
    data: torch.Tensor,
    *,
    n_steps: int,
    batch_size: int,
    latent_dim: int,
) -> float:
    """CPU seconds of alternating non-saturating training with `torch.optim.Adam`."""
    adam = {
        network: torch.optim.Adam(network.parameters(), 1e-3, betas=(0.0, 0.99))
        for network in (generator, discriminator)
    }
    start = time.process_time()
    for step in range(n_steps):
        z = torch.randn(batch_size, latent_dim)
        if step % 2 == 0:
            real = data[torch.randperm(len(data))[:batch_size]]
            with torch.no_grad():
                fake = generator(z)
            loss = nn.functional.softplus(-discriminator(real)).mean()
            loss = loss + nn.functional.softplus(discriminator(fake)).mean()
            mover = discriminator
        else:
            loss = nn.functional.softplus(-discriminator(generator(z))).mean()
            mover = generator
        adam[mover].zero_grad()
        loss.backward()
        adam[mover].step()
    return time.process_time() - start
