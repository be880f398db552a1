import math

import torch

from counterplay.data.ring import log_density, ring


def test_every_point_is_near_its_mode():
    train = ring(n_modes=5, radius=3.0, std=0.1).train
    angle = 2 * math.pi * train["y"] / 5
    centre = 3.0 * torch.stack([angle.cos(), angle.sin()], 1)
    deviation = train["x"] - centre
    torch.testing.assert_close(
        deviation.std(0), torch.tensor([0.1, 0.1]).double(), atol=4e-3, rtol=0
    )
    assert train["y"].unique().tolist() == [0, 1, 2, 3, 4]


def test_log_density_at_a_mode():
    mode = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    # The other modes are more than 70 standard deviations away.
    expected = -math.log(8) - math.log(2 * math.pi * 0.02**2)
    torch.testing.assert_close(log_density(mode).item(), expected)
    wide = log_density(mode, n_modes=1, std=1.0)
    torch.testing.assert_close(wide.item(), -math.log(2 * math.pi))
