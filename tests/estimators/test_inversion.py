import numpy as np
import torch

from counterplay.estimators._inversion import in_float64, invert, Judge
from counterplay.estimators._windows import cut
from counterplay.game import apply_of
from counterplay.nets import lstm_discriminator, lstm_generator


def _judge(**options):
    torch.manual_seed(0)
    G, D = lstm_generator(2, 3, width=8), lstm_discriminator(3, width=8)
    params = in_float64({
        "G": {k: 3 * v.detach() for k, v in G.named_parameters()},
        "D": {k: v.detach() for k, v in D.named_parameters()},
    })  # fmt: skip
    options = {"latent_dim": 2, "penalty": 0.01, "n_steps": 40, "device": "cpu", **options}
    return Judge(apply_of("G", G), apply_of("D", D), **options), params


def test_the_optimum_of_a_linear_generator_is_found():
    torch.manual_seed(0)
    mixing, x = torch.randn(2, 3).double(), torch.randn(4, 5, 3).double()
    z = invert(lambda z: z @ mixing, x, latent_dim=2, penalty=0.1, n_steps=2_000, lr=0.01)
    # Ridge regression: (A A' / 3 + 0.1 / 2) z = A x / 3.
    left = mixing @ mixing.T / 3 + 0.1 / 2 * torch.eye(2).double()
    expected = torch.linalg.solve(left, mixing @ x.transpose(1, 2) / 3).transpose(1, 2)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-4)


def test_neither_order_nor_company_of_windows_changes_their_latents():
    judge, params = _judge()
    x = torch.rand(40, 6, 3, dtype=torch.float64)
    generate = lambda z: judge.generator.evaluated(params, z)
    options = {"latent_dim": 2, "penalty": 0.01, "n_steps": 40}
    together = invert(generate, x, **options)
    order = torch.randperm(40)
    # Float64: sums of a few dozen terms, in another order, over 40 steps of Adam.
    near = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(
        invert(generate, x[order], **options), together[order], **near
    )
    torch.testing.assert_close(invert(generate, x[:1], **options), together[:1], **near)


def test_what_the_generator_made_is_reproduced_better_than_what_it_did_not():
    judge, params = _judge(n_steps=200)
    z = torch.randn(20, 6, 2, dtype=torch.float64)
    made = judge.generator.evaluated(params, z).numpy()
    values = np.concatenate(
        [made.reshape(-1, 3), np.random.default_rng(0).normal(size=(120, 3))]
    )
    cuts = cut([(6 * i, 6 * i + 6) for i in range(40)], window=6, stride=1)
    (found,) = judge.inverted(params, values, cuts)
    error = judge.errors(params, found).abs().mean((1, 2))
    assert error[:20].max() < error[20:].min()
    parts = judge.parts(params, found, judge.errors(params, found))
    torch.testing.assert_close(parts[..., 0].mean(1), error)
    torch.testing.assert_close(
        parts[..., 1], -judge.discriminator.evaluated(params, found.x)
    )


def test_a_heavier_penalty_gives_smaller_latents():
    x = np.random.default_rng(0).normal(size=(30, 3))
    sizes = []
    for penalty in (0.0, 0.1, 1.0):
        judge, params = _judge(penalty=penalty)
        (found,) = judge.inverted(params, x, cut([(0, 30)], window=6, stride=3))
        sizes.append(float(found.z.square().mean()))
    assert sizes == sorted(sizes, reverse=True)
