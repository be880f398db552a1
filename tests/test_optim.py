"""Each optimizer against its namesake in `torch.optim`, and its derivative."""

import pytest
import torch

from counterplay import optim
from counterplay.errors import GameError


ours_and_theirs = [
    (optim.sgd, torch.optim.SGD, {}),
    (optim.sgd, torch.optim.SGD, {"weight_decay": 0.1}),
    (optim.sgd, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (optim.sgd, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (optim.rmsprop, torch.optim.RMSprop, {}),
    (optim.rmsprop, torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    (optim.rmsprop, torch.optim.RMSprop, {"momentum": 0.9}),
    (optim.adam, torch.optim.Adam, {}),
    (optim.adam, torch.optim.Adam, {"betas": (0.0, 0.99), "eps": 1e-3}),
    (optim.adam, torch.optim.Adam, {"betas": (0.5, 0.9), "weight_decay": 0.1}),
    (optim.adamw, torch.optim.AdamW, {}),
    (optim.adamw, torch.optim.AdamW, {"betas": (0.5, 0.9), "weight_decay": 0.3}),
]
adaptive = [optim.rmsprop, optim.adam, optim.adamw]


def start():
    generator = torch.Generator().manual_seed(0)
    return {
        "matrix": torch.randn(3, 2, generator=generator, dtype=torch.float64),
        "vector": torch.randn(3, generator=generator, dtype=torch.float64),
    }


def loss(params):
    twisted = torch.sin(params["matrix"].sum(1)) * params["vector"]
    return (twisted - 1).square().sum() + params["matrix"].pow(4).sum() / 10


def play(optimizer, n_steps=50):
    params = start()
    slots = optimizer.init(params)
    for move in range(n_steps):
        grads = torch.func.grad(loss)(params)
        params, slots = optimizer.update(grads, slots, params, move, move)
    return params


def play_in_torch(cls, n_steps=50, rate=None, **options):
    params = {name: torch.nn.Parameter(value) for name, value in start().items()}
    optimizer = cls(params.values(), **options)
    for move in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] if rate is None else rate(move)
        optimizer.zero_grad()
        loss(params).backward()
        optimizer.step()
    return params


def assert_same(ours, theirs):
    for name in theirs:
        torch.testing.assert_close(
            ours[name], theirs[name].detach(), rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize(("ours", "theirs", "options"), ours_and_theirs)
def test_fifty_steps_equal_those_of_torch(ours, theirs, options):
    assert_same(play(ours(1e-2, **options)), play_in_torch(theirs, lr=1e-2, **options))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (optim.sgd, torch.optim.SGD),
        (optim.rmsprop, torch.optim.RMSprop),
        (optim.adamw, torch.optim.AdamW),
    ],
)
def test_a_learning_rate_may_depend_on_the_move(ours, theirs):
    def rate(move):
        return 1e-2 / (1 + move)

    assert_same(play(ours(rate)), play_in_torch(theirs, rate=rate))
    assert ours(rate).description["lr"] == "rate"


def test_the_rate_follows_the_move_and_the_bias_correction_the_count():
    optimizer = optim.adam(
        lambda move: 1.0 if move == 7 else 0.0, betas=(0.9, 0.9), eps=0.0
    )
    params, grads = {"p": torch.zeros(1)}, {"p": torch.full((1,), 3.0)}
    after, _ = optimizer.update(grads, optimizer.init(params), params, 7, 0)
    torch.testing.assert_close(after["p"], torch.tensor([-1.0]))
    after, _ = optimizer.update(grads, optimizer.init(params), params, 8, 0)
    assert after["p"] == 0


def step_from_zero(optimizer):
    """One update as a function of a gradient, from empty memory."""

    def step(grad):
        params = {"p": torch.ones(1, dtype=torch.float64)}
        return optimizer.update({"p": grad}, optimizer.init(params), params, 0, 0)[0]["p"]

    return step


@pytest.mark.parametrize("make", adaptive)
@pytest.mark.parametrize("eps_root", [0.0, 1e-8])
def test_the_derivative_at_zero_gradient_is_finite_and_right(make, eps_root):
    eps = 1e-4
    step = step_from_zero(make(0.1, eps=eps, eps_root=eps_root))
    slope = torch.autograd.functional.jacobian(step, torch.zeros(1, dtype=torch.float64))
    # With g small, g / (sqrt(g^2 + eps_root) + eps) has the slope 1 / (sqrt(eps_root) + eps).
    torch.testing.assert_close(
        slope, torch.tensor([[-0.1 / (eps_root**0.5 + eps)]], dtype=torch.float64)
    )


@pytest.mark.parametrize("make", [optim.sgd, *adaptive])
def test_the_derivative_of_an_update_equals_finite_differences(make):
    options = {} if make is optim.sgd else {"eps_root": 1e-3}
    optimizer = make(0.1, weight_decay=0.1, **options)
    params = start()
    slots = {name: value + 0.5 for name, value in optimizer.init(params).items()}

    def update(gradient, matrix, memory):
        grads = {**params, "matrix": gradient}
        values = {**params, "matrix": matrix}
        kept = {**slots, **({"square/matrix": memory} if slots else {})}
        new, kept = optimizer.update(grads, kept, values, 3, 3)
        return (new["matrix"], *kept.values())

    inputs = [torch.rand(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(update, inputs)


def test_an_update_leaves_its_arguments_alone():
    optimizer = optim.adamw(0.1)
    params = start()
    slots = optimizer.init(params)
    optimizer.update(start(), slots, params, 0, 0)
    assert all(torch.equal(params[name], value) for name, value in start().items())
    assert all(not value.any() for value in slots.values())


@pytest.mark.parametrize(
    ("name", "options", "same"),
    [
        ("sgd", {"momentum": 0.9}, lambda: optim.sgd(0.1, momentum=0.9, weight_decay=0.2)),
        ("rmsprop", {}, lambda: optim.rmsprop(0.1, alpha=0.8, eps=1e-6, weight_decay=0.2)),
        ("adam", {}, lambda: optim.adam(0.1, betas=(0.3, 0.8), eps=1e-6, weight_decay=0.2)),
        (
            "adamw",
            {},
            lambda: optim.adamw(0.1, betas=(0.3, 0.8), eps=1e-6, weight_decay=0.2),
        ),
    ],
)
def test_an_optimizer_by_name_is_the_one_by_function(name, options, same):
    named = optim.by_name(
        name, 0.1, betas=(0.3, 0.8), eps=1e-6, weight_decay=0.2, **options
    )
    assert named.description == same().description
    assert_same(play(named), play(same()))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.sgd(-1.0), "`lr` must be at least 0.0, got -1.0"),
        (lambda: optim.sgd(momentum=1.0), r"`momentum` must be in \[0.0, 1.0\), got 1.0"),
        (lambda: optim.sgd(nesterov=True), "`nesterov=True` needs a `momentum` above 0"),
        (lambda: optim.rmsprop(alpha=-0.1), r"`alpha` must be in \[0.0, 1.0\), got -0.1"),
        (lambda: optim.adam(betas=(0.9, 1.0)), r"`betas` must be in \[0.0, 1.0\), got 1.0"),
        (lambda: optim.by_name("lion", 0.1), "no optimizer 'lion'; there are .*'adamw'"),
        (
            lambda: optim.by_name("adam", 0.1, momentum=0.9),
            "'adam' has no `momentum`, got 0.9",
        ),
    ],
)
def test_an_impossible_optimizer_is_refused(make, text):
    with pytest.raises(GameError, match=text):
        make()


def test_history_pulls_to_the_mean_of_earlier_parameters():
    rule = optim.historical_averaging(optim.sgd(0.1), strength=2.0)
    params = {"x": torch.tensor([1.0], dtype=torch.float64)}
    slots, seen = rule.init(params), []
    for count in range(4):
        seen.append(params["x"])
        mean = torch.stack(seen).mean(0)
        slope = torch.tensor([0.5], dtype=torch.float64)
        expected = params["x"] - 0.1 * (slope + 4 * (params["x"] - mean))
        params, slots = rule.update({"x": slope}, slots, params, count, count)
        torch.testing.assert_close(params["x"], expected)


def test_history_settles_a_game_that_would_not_settle():
    # Salimans et al. 2016, section 3.3: min over x, max over y of (f(x) - 1) (y - 1).
    def slopes(x, y):
        value, slope = (x, 1.0) if x < 0 else (x * x, 2 * x)
        return slope * (y - 1), -(value - 1)

    ends = {}
    for strength in (0.0, 1.0):
        rule = optim.historical_averaging(optim.sgd(0.01), strength)
        params = {"x": torch.tensor(0.5).double(), "y": torch.tensor(0.2).double()}
        slots = rule.init(params)
        for move in range(6_000):
            grads = dict(
                zip(
                    "xy",
                    map(torch.as_tensor, slopes(params["x"], params["y"])),
                    strict=True,
                )
            )
            params, slots = rule.update(grads, slots, params, move, move)
        ends[strength] = [float(params[name]) for name in "xy"]
    assert ends[1.0] == pytest.approx([1.0, 1.0], abs=0.1)
    assert ends[0.0] != pytest.approx([1.0, 1.0], abs=0.1)
