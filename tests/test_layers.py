"""Pure twins of PyTorch's stateful layers: the same numbers, and a derivative."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from counterplay import _convolutions, _layers
from counterplay._mode import computing, Mode
from counterplay.errors import GameError


def float64(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def trained_and_buffers(module):
    return (
        {name: param.detach() for name, param in module.named_parameters()},
        {name: buffer.clone() for name, buffer in module.named_buffers()},
    )


def play(module, params, buffers, x):
    """The output in training mode, and the buffers it leaves behind."""
    tensors = {**params, **buffers}
    output = torch.func.functional_call(module.train(), tensors, (x,))
    return output, {name: tensors[name] for name in buffers}


batch_norms = [
    (nn.BatchNorm1d(3), (5, 3)),
    (nn.BatchNorm1d(3, momentum=0.3), (5, 3, 4)),
    (nn.BatchNorm2d(3, eps=1e-2), (2, 3, 4, 4)),
    (nn.BatchNorm2d(3, affine=False), (2, 3, 4, 4)),
    (nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 4, 4)),
    (nn.BatchNorm3d(3), (2, 3, 2, 2, 2)),
]


@pytest.mark.parametrize(("theirs", "shape"), batch_norms)
def test_batch_norm_equals_torch_over_several_batches(theirs, shape):
    theirs = theirs.double()
    if theirs.affine:
        theirs.weight.data, theirs.bias.data = float64(3, seed=8), float64(3, seed=9)
    ours = _layers.pure(nn.Sequential(theirs))
    params, buffers = trained_and_buffers(ours)
    for seed in range(4):
        x = 3 * float64(*shape, seed=seed) + 1
        output, buffers = play(ours, params, buffers, x)
        torch.testing.assert_close(output, theirs.train()(x))
        for name in ("running_mean", "running_var"):
            if theirs.track_running_stats:
                torch.testing.assert_close(buffers[f"0.{name}"], getattr(theirs, name))
    evaluated = torch.func.functional_call(ours.eval(), {**params, **buffers}, (x,))
    torch.testing.assert_close(evaluated, theirs.eval()(x))


def test_running_statistics_have_a_derivative():
    ours = _layers.pure(nn.BatchNorm1d(2).double())
    params, buffers = trained_and_buffers(ours)
    later = float64(4, 2, seed=1)

    def evaluated_after_one_batch(x):
        _, moved = play(ours, params, buffers, x)
        return torch.func.functional_call(ours.eval(), {**params, **moved}, (later,))

    x = float64(5, 2).requires_grad_()
    assert torch.autograd.gradcheck(evaluated_after_one_batch, x)


def test_pure_leaves_the_original_untouched():
    original = nn.Sequential(
        parametrizations.spectral_norm(nn.Conv2d(1, 2, 3)), nn.BatchNorm2d(2), nn.Flatten()
    ).double()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    ours = _layers.pure(original)
    params, buffers = trained_and_buffers(ours)
    play(
        ours,
        params,
        _layers.advance(_layers.spectral_layers(ours), params, buffers),
        float64(3, 1, 4, 4),
    )
    assert isinstance(original[1], nn.BatchNorm2d)
    for state in (original.state_dict(), ours.state_dict()):
        assert set(state) == set(before)
        assert all(torch.equal(state[name], before[name]) for name in before)


def test_a_bare_batch_norm_and_nested_ones_are_replaced():
    assert isinstance(_layers.pure(nn.BatchNorm2d(3)), _layers.BatchNorm)
    nested = _layers.pure(
        nn.Sequential(nn.Sequential(nn.ModuleDict({"n": nn.BatchNorm1d(3)})))
    )
    assert isinstance(nested[0][0]["n"], _layers.BatchNorm)


spectral = {
    "linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "convolution": (lambda: nn.Conv2d(2, 3, 3), (2, 2, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3), (2, 2, 5, 5)),
}


@pytest.mark.parametrize("n_iterations", [1, 3])
@pytest.mark.parametrize("name", spectral)
def test_spectral_norm_equals_torch_after_the_same_iterations(name, n_iterations):
    make, shape = spectral[name]
    theirs = parametrizations.spectral_norm(
        make().double(), n_power_iterations=n_iterations
    ).train()
    ours = _layers.pure(theirs)
    params, buffers = trained_and_buffers(ours)
    x = float64(*shape)
    for seed in range(4):
        original = params["parametrizations.weight.original"]
        # Another weight in every round, so that the vectors have something to follow.
        params["parametrizations.weight.original"] = float64(*original.shape, seed=seed)
        with torch.no_grad():
            theirs.parametrizations.weight.original.copy_(
                float64(*original.shape, seed=seed)
            )
        buffers = _layers.advance(_layers.spectral_layers(ours), params, buffers)
        output, after = play(ours, params, buffers, x)
        torch.testing.assert_close(output, theirs(x).detach())
        assert all(after[key] is buffers[key] for key in buffers)


@pytest.mark.parametrize("name", spectral)
def test_a_normalised_weight_has_norm_one_from_the_start(name):
    make, _ = spectral[name]
    module = _layers.spectral_norm(nn.Sequential(make().double(), nn.Flatten()))
    weight = module[0].weight.detach()
    matrix = weight.transpose(0, 1) if name == "transposed" else weight
    norm = torch.linalg.matrix_norm(matrix.flatten(1), ord=2)
    torch.testing.assert_close(norm, torch.ones_like(norm))


def test_advancing_the_vectors_has_a_derivative():
    ours = _layers.pure(_layers.spectral_norm(nn.Linear(3, 2).double()))
    params, buffers = trained_and_buffers(ours)
    x = float64(4, 3)

    def output(weight):
        moved = {**params, "parametrizations.weight.original": weight}
        return play(
            ours, moved, _layers.advance(_layers.spectral_layers(ours), moved, buffers), x
        )[0]

    assert torch.autograd.gradcheck(output, float64(2, 3, seed=3).requires_grad_())


def test_a_frozen_layer_keeps_its_vectors_up_to_date():
    module = _layers.spectral_norm(nn.Linear(3, 2)).requires_grad_(False)
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    moved = _layers.advance(_layers.spectral_layers(module), {}, tensors)
    torch.testing.assert_close(moved, tensors)  # the exact vectors do not move


def test_a_vector_that_torch_normalises_stays_pure():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(float64(3))

        def forward(self, x):
            return x * self.weight

    module = _layers.pure(parametrizations.spectral_norm(Scale()))
    assert not dict(module.named_buffers())
    torch.testing.assert_close(module.weight.norm(), torch.ones(()).double())


def with_old_spectral_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            with_old_spectral_norm,
            "'0' uses `torch.nn.utils.spectral_norm`.*Use `counterplay",
        ),
        (
            lambda: nn.Sequential(nn.BatchNorm1d(2, momentum=None)),
            "BatchNorm1d at '0' has `momentum=None`",
        ),
        (
            lambda: nn.Sequential(nn.InstanceNorm2d(2, track_running_stats=True)),
            "InstanceNorm2d at '0' has `track_running_stats=True`",
        ),
    ],
)
def test_a_layer_with_side_effects_is_refused(make, text):
    with pytest.raises(GameError, match=text):
        _layers.pure(make())


@pytest.mark.parametrize("normalised", [False, True])
def test_layers_are_replaced_by_their_faster_twins(normalised):
    theirs = nn.Sequential(nn.Conv2d(2, 3, 3), nn.SiLU(), nn.Flatten()).double()
    if normalised:
        _layers.spectral_norm(theirs)
    ours, x = _layers.pure(theirs), float64(2, 2, 4, 4)
    assert isinstance(ours[0], _convolutions.Conv2d)
    assert not isinstance(theirs[0], _convolutions.Conv2d)
    assert [name for name, _ in ours.named_parameters()] == [
        name for name, _ in theirs.named_parameters()
    ]
    with computing(Mode(by_hand=True, channels_last=True)):
        torch.testing.assert_close(ours(x), theirs(x))
    copy.deepcopy(ours)


def test_a_borrowed_module_is_a_function_of_its_tensors():
    shared = nn.Linear(2, 2).double()
    module = nn.Sequential(shared, nn.BatchNorm1d(2).double(), shared)
    ours = _layers.pure(module)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    tensors = {
        **{name: value.detach() + 1 for name, value in ours.named_parameters()},
        **dict(ours.named_buffers()),
    }
    x, given = float64(3, 2), dict(tensors)
    expected = torch.func.functional_call(copy.deepcopy(ours), tensors | {}, (x,))
    found = _layers.Borrowed(ours)(given, x)
    assert torch.equal(found, expected)
    assert given["0.weight"] is tensors["0.weight"]
    assert not torch.equal(given["1.running_mean"], tensors["1.running_mean"])
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_borrowed_module_gives_its_tensors_back_after_an_error():
    module = nn.Linear(2, 2)
    own = module.weight
    with pytest.raises(RuntimeError, match="shapes"):
        _layers.Borrowed(module)(
            {name: value + 1 for name, value in module.named_parameters()},
            torch.zeros(1, 3),
        )
    assert module.weight is own


def test_batch_norm_by_its_kernel_gives_the_same_numbers():
    ours, x = _layers.pure(nn.BatchNorm2d(3).double()), float64(4, 3, 2, 2)
    params, buffers = trained_and_buffers(ours)
    output, moved = play(ours, params, buffers, x)
    with computing(Mode(constant_buffers=True)):
        fast, also = play(ours, params, buffers, x)
    torch.testing.assert_close(fast, output)
    torch.testing.assert_close(also, moved)
    assert not torch.equal(also["running_var"], buffers["running_var"])
