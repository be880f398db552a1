import cases
import torch

from counterplay import games, nets
from counterplay._play import play
from counterplay._tape import graph_bytes, Tape
from counterplay.game import Columns


def cotangents(state, n):
    random = torch.Generator().manual_seed(3)
    return [
        {
            name: torch.randn(tensor.shape, generator=random, dtype=tensor.dtype)
            for name, tensor in state.tensors().items()
            if tensor.is_floating_point()
        }
        for _ in range(n)
    ]


def test_cotangents_pulled_together_equal_those_pulled_one_by_one():
    case = cases.gan(optimizer="adam", **cases.EXTRAS["everything"])
    run = play(case.game, case.data, n_steps=3, batch_size=4)
    given = cotangents(run.final, 3)
    del given[1][next(iter(given[1]))]  # left out means 0
    together, by_weights = Tape(case.game, case.data, run.plan, run.final).pull(given)
    for i, cotangent in enumerate(given):
        (alone,), by_weight = Tape(case.game, case.data, run.plan, run.final).pull(
            [cotangent]
        )
        torch.testing.assert_close(by_weights[i], by_weight[0])
        for name, expected in alone.items():
            torch.testing.assert_close(together[i][name], expected)


def test_flat_networks_of_images_are_pulled_together_too():
    x = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    data = Columns({"x": x}, tuple(map(str, range(8))), kind="image")
    networks = nets.pair("mlp", (1, 4, 4), latent_dim=2, width=4, dtype=torch.float64)
    game = games.load("gan")(*networks, latent_dim=2)
    run = play(game, data, n_steps=2, batch_size=4)
    given = cotangents(run.final, 2)
    _, together = Tape(game, data, run.plan, run.final).pull(given)
    for i, cotangent in enumerate(given):
        _, alone = Tape(game, data, run.plan, run.final).pull([cotangent])
        torch.testing.assert_close(together[i], alone[0])


def test_weights_alone_are_pulled_without_the_state():
    case = cases.gan()
    run = play(case.game, case.data, n_steps=2, batch_size=4)
    given = cotangents(run.final, 2)
    _, expected = Tape(case.game, case.data, run.plan, run.final).pull(given)
    pulled, found = Tape(case.game, case.data, run.plan, run.final).pull(
        given, carried=False
    )
    assert pulled == [{}, {}]
    torch.testing.assert_close(found, expected)


def test_a_larger_batch_has_a_larger_graph():
    case = cases.gan(n_critic=2)
    sizes = []
    for batch_size in (2, 8):
        run = play(case.game, case.data, n_steps=3, batch_size=batch_size)
        sizes.append(graph_bytes(case.game, case.data, run.plan, run.final))
    assert sizes[1] > 1.5 * sizes[0]
    # At least what the first layer of D reads is kept: two coordinates of 8 bytes.
    assert sizes[0] > 2 * 2 * 8
