import cases
import torch

from counterplay._fleet import against_vmap
from counterplay._trajectory import make_plan
from counterplay.game import apply_of
from counterplay.nets import lstm_discriminator, lstm_generator


def _sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def test_a_generator_is_an_lstm_with_the_same_readout_at_every_step():
    torch.manual_seed(0)
    G = lstm_generator(2, 3, width=4).double()
    z = torch.randn(5, 6, 2, dtype=torch.float64)
    params = dict(G.named_parameters())
    hidden, cell, expected = torch.zeros(5, 4).double(), torch.zeros(5, 4).double(), []
    for step in range(6):
        gates = z[:, step] @ params["recurrent.weight_ih_l0"].T
        gates = gates + hidden @ params["recurrent.weight_hh_l0"].T
        gates = gates + params["recurrent.bias_ih_l0"] + params["recurrent.bias_hh_l0"]
        i, f, g, o = gates.chunk(4, 1)
        cell = _sigmoid(f) * cell + _sigmoid(i) * g.tanh()
        hidden = _sigmoid(o) * cell.tanh()
        expected.append(
            (hidden @ params["readout.weight"].T + params["readout.bias"]).tanh()
        )
    torch.testing.assert_close(G(z), torch.stack(expected, 1))


def test_a_discriminator_gives_one_number_per_step():
    D = lstm_discriminator(3, width=4, depth=2)
    assert D(torch.randn(5, 6, 3)).shape == (5, 6)
    assert D.recurrent.num_layers == 2


def test_windows_of_any_length_are_read():
    G = lstm_generator(2, 3)
    z = torch.randn(1, 8, 2)
    torch.testing.assert_close(G(z)[:, :3], G(z[:, :3]))


def test_the_parameters_of_the_state_are_those_that_compute():
    # PyTorch's LSTM keeps its tensors in a list of its own as well.
    torch.manual_seed(0)
    G = lstm_generator(2, 3)
    network = apply_of("G", G)
    zeros = {"G": {k: torch.zeros_like(v) for k, v in G.named_parameters()}}
    zeros["G"]["recurrent.weight_hh_l0"] += 1
    zeros["G"]["readout.bias"] += 1
    assert torch.equal(network(zeros, torch.randn(1, 4, 2)), torch.ones(1, 4, 3).tanh())
    mine = {"G": {k: v.detach().clone() for k, v in G.named_parameters()}}
    z = torch.randn(1, 4, 2)
    torch.testing.assert_close(network.evaluated(mine, z), G(z))


def test_the_mixed_second_derivative_matches_differences():
    torch.manual_seed(0)
    G, D = lstm_generator(2, 3, width=4).double(), lstm_discriminator(3, width=4).double()
    z = torch.randn(2, 5, 2, dtype=torch.float64)

    def squared_slope():
        grads = torch.autograd.grad(
            D(G(z)).square().mean(), list(D.parameters()), create_graph=True
        )
        return sum(g.square().sum() for g in grads)

    weight = G.recurrent.weight_hh_l0
    (exact,) = torch.autograd.grad(squared_slope(), weight)
    direction, h = torch.randn_like(weight), 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * h * direction
        values.append(squared_slope().detach())
        with torch.no_grad():
            weight -= sign * h * direction
    # Central differences in float64: rounding over h dominates.
    torch.testing.assert_close(
        (exact * direction).sum(), (values[0] - values[1]) / (2 * h), rtol=1e-5, atol=1e-9
    )


def test_retrainings_are_played_one_after_the_other():
    case = cases.make("mad_gan")
    plan = make_plan(case.data, batch_size=2, seed=0)
    assert "recurrent layers cannot be vmapped" in against_vmap(case.game, plan)
