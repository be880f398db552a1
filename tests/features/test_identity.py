"""The map that does nothing."""

import torch

from counterplay import features


def test_instances_become_rows():
    x = torch.randn(4, 1, 3, 3, requires_grad=True)
    phi = features.identity()
    assert torch.equal(phi(x), x.flatten(1))
    assert torch.autograd.grad(phi(x).sum(), x)[0].eq(1).all()
    assert (phi.name, phi.n_features, phi.fingerprint) == ("identity", None, "identity")
    assert phi == features.identity()
