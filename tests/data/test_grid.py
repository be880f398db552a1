import math

import torch

from counterplay.data.grid import grid, log_density


def test_every_point_is_near_its_mode():
    train = grid(side=3, spacing=1.0, std=0.05).train
    centre = torch.stack([train["y"] // 3 - 1, train["y"] % 3 - 1], 1)
    deviation = train["x"] - centre
    torch.testing.assert_close(
        deviation.std(0), torch.tensor([0.05, 0.05]).double(), atol=2e-3, rtol=0
    )
    assert train["y"].unique().tolist() == list(range(9))


def test_log_density_at_a_mode():
    mode = torch.tensor([[4.0, -2.0]], dtype=torch.float64)
    expected = -math.log(25) - math.log(2 * math.pi * 0.05**2)
    torch.testing.assert_close(log_density(mode).item(), expected)
    wide = log_density(torch.zeros(1, 2).double(), side=1, std=1.0)
    torch.testing.assert_close(wide.item(), -math.log(2 * math.pi))
