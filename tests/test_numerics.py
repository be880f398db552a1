"""Device, precision and memory format: part of the record, and never a change of meaning."""

from dataclasses import replace

import pytest
import torch

from counterplay import games, nets, play, trace
from counterplay._checkpoint import fingerprint, FolderCheckpoints
from counterplay._numerics import Numerics
from counterplay._trajectory import recorded_move
from counterplay.errors import GameError, TraceError
from counterplay.game import Columns
from counterplay.metrics.target import of_samples


needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU that PyTorch can compute on"
)
RUN = {"n_steps": 6, "batch_size": 4, "every": 3}


def images(*, dtype=torch.float32, channels=1):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, channels, 8, 8, generator=generator, dtype=dtype) * 2 - 1
    return Columns({"x": x}, tuple(map(str, range(12))), kind="image")


def game_of(data, **options):
    shape = tuple(data["x"].shape[1:])
    pair = nets.pair(
        "dcgan", shape, latent_dim=3, width=4, spectral=True, dtype=data["x"].dtype
    )
    return games.load("gan")(*pair, latent_dim=3, **options)


def metric_of(game):
    return of_samples(lambda fake: fake.square().mean(), game, n=4, higher_is_better=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precision": "half"}, r"no precision 'half'; there are \['float32', 'tf32'"),
        ({"memory_format": "nhwc"}, r"no memory_format 'nhwc'; there are \['channels_last"),
        ({"device": "gpu"}, r"no device 'gpu'; there are 'cpu', 'cuda'"),
        ({"precision": "tf32"}, r"'tf32'` is an arithmetic of NVIDIA GPUs, .* 'cpu'\. Use"),
    ],
)
def test_impossible_choices_are_refused(options, text):
    with pytest.raises(GameError, match=text):
        Numerics(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named():
    with pytest.raises(
        GameError, match=r"'cuda', but PyTorch finds no GPU here\. Use 'cpu'"
    ):
        Numerics(device="cuda")


def test_a_state_is_placed_once():
    state = game_of(images()).initial()
    numerics = Numerics()
    placed = numerics.place(state)
    assert placed is not state
    assert numerics.place(placed) is placed
    weight = placed.params["D"]["3.parametrizations.weight.original"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert fingerprint(placed) == fingerprint(state)
    back = Numerics(memory_format="contiguous").place(placed)
    assert all(tensor.is_contiguous() for tensor in back.tensors().values())


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_run_has_the_same_bits_from_disk_and_from_memory(
    tmp_path, memory_format, channels
):
    data = images(channels=channels)
    game, options = game_of(data, r1=1.0), {**RUN, "memory_format": memory_format}
    whole = play(game, data, **options)
    kept = FolderCheckpoints(tmp_path)
    play(game, data, **{**options, "n_steps": 3}, checkpoints=kept)
    resumed = play(game, data, **options, checkpoints=kept)
    assert resumed.fingerprints[6] == whole.fingerprints[6]
    resumed.replay(game, data, kept[0], 6)  # raises where bits differ


def test_memory_formats_agree_up_to_rounding():
    data = images(dtype=torch.float64)
    game = game_of(data, r1=1.0)
    runs = [
        play(game, data, **RUN, memory_format=order)
        for order in ("channels_last", "contiguous")
    ]
    last, contiguous = (run.final.tensors() for run in runs)
    for name, tensor in last.items():
        torch.testing.assert_close(tensor, contiguous[name], rtol=1e-9, atol=1e-11)
    found = [trace(game, data, run, metric_of(game)).gradient for run in runs]
    torch.testing.assert_close(*found, rtol=1e-7, atol=1e-12)


def test_a_trace_of_images_predicts_a_small_change_of_a_weight():
    data = images(dtype=torch.float64)
    game = game_of(data, r1=0.5)
    run = play(game, data, **RUN)
    metric = metric_of(game)
    gradient = trace(game, data, run, metric).gradient
    for row in (0, 7):
        values = []
        for change in (-1e-5, 1e-5):
            weights = torch.ones(len(data), dtype=torch.float64)
            weights[row] += change
            values.append(metric.value(play(game, data, **RUN, weights=weights).final))
        slope = (values[1] - values[0]) / 2e-5
        assert float(gradient[row]) == pytest.approx(slope, rel=1e-5, abs=1e-12)


def test_bfloat16_is_played_and_replayed_but_not_traced():
    data = images()
    game = game_of(data)
    exact = play(game, data, **RUN)
    run = play(game, data, **RUN, precision="bfloat16")
    run.replay(game, data, run.checkpoints[0], 6)  # raises where bits differ
    assert run.fingerprints[6] != exact.fingerprints[6]
    for name, tensor in run.final.tensors().items():
        assert tensor.dtype == exact.final.tensors()[name].dtype
        torch.testing.assert_close(tensor, exact.final.tensors()[name], rtol=0.1, atol=0.1)
    with pytest.raises(TraceError, match=r"precision='bfloat16'`.* `precision='float32'`"):
        trace(game, data, run, metric_of(game))


def test_losses_of_bfloat16_networks_are_in_float32():
    data = images()
    game = game_of(data)
    run = play(game, data, **RUN, precision="bfloat16")
    with torch.no_grad():
        _, losses = recorded_move(game, data, run.plan, run.final)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_rounding_of_float64_networks_is_refused():
    data = images(dtype=torch.float64)
    with pytest.raises(GameError, match=r"networks in float32, .*\['torch\.float64'\]"):
        play(game_of(data), data, **RUN, precision="bfloat16")


def test_numerics_belong_to_the_fingerprint_of_a_plan():
    data = images()
    plan = play(game_of(data), data, **RUN).plan
    other = replace(plan, numerics=Numerics(memory_format="contiguous"))
    assert plan.fingerprint != other.fingerprint


@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_run_on_a_gpu_is_replayed_there(tmp_path, precision):
    data = images()
    game, kept = game_of(data), FolderCheckpoints(tmp_path)
    run = play(game, data, **RUN, checkpoints=kept, device="cuda", precision=precision)
    assert all(tensor.is_cuda for tensor in run.final.tensors().values())
    run.replay(game, data, kept[0], 6)
    if precision == "float32":
        on_cpu = trace(game, data, play(game, data, **RUN), metric_of(game)).gradient
        found = trace(game, data, run, metric_of(game)).gradient
        torch.testing.assert_close(found, on_cpu, rtol=0.05, atol=1e-4)


@needs_gpu
@pytest.mark.gpu
def test_the_flags_of_cuda_are_put_back():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with Numerics(device="cuda", precision="tf32").arithmetic():
        assert torch.backends.cuda.matmul.allow_tf32
    assert before == (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
    )
