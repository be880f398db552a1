"""Networks from ONNX files; the tests that run one need the extra `onnx` and package onnx."""

import pytest
import torch
from torch import nn

from counterplay import features
from counterplay.errors import DataError, MetricError
from counterplay.features.onnx import _fingerprint


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))


@pytest.fixture
def write(tmp_path, network):
    """Writes the network: two layers, a free first axis, its output and the layer before."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    onnx = pytest.importorskip("onnx", reason="needs the package onnx to write a file")

    def write(name="lite.onnx", n="n", inputs=("x",), beside=None):
        make, weights = onnx.helper, {}
        for key, value in network.state_dict().items():
            weights[key] = onnx.numpy_helper.from_array(value.numpy().copy(), key)
        nodes = [
            make.make_node("Gemm", ["x", "0.weight", "0.bias"], ["h"], transB=1),
            make.make_node("Tanh", ["h"], ["hidden"]),
            make.make_node("Gemm", ["hidden", "2.weight", "2.bias"], ["y"], transB=1),
            make.make_node("ReduceSum", ["y"], ["total"], keepdims=1),
        ]
        kind = onnx.TensorProto.FLOAT
        puts = [make.make_tensor_value_info(key, kind, [n, 3]) for key in inputs]
        gives = [
            make.make_tensor_value_info(key, kind, shape)
            for key, shape in [("y", [n, 4]), ("hidden", [n, 5]), ("total", [1, 1])]
        ]
        graph = make.make_graph(nodes, "lite", puts, gives, list(weights.values()))
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)])
        model.ir_version = 9
        path = tmp_path / name
        if beside is None:
            onnx.save(model, path)
        else:
            onnx.save(
                model, path, save_as_external_data=True, location=beside, size_threshold=0
            )
        return path

    return write


def test_a_file_gives_the_networks_features(write, network):
    path = write()
    phi = features.onnx(path, n_features=4)
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(phi(x), network(x.float()))
    assert phi.name == "lite"
    assert phi(x[:2]).shape == (2, 4)
    hidden = features.onnx(path, name="inner", output="hidden")
    torch.testing.assert_close(hidden(x), network[:2](x.float()))
    assert hidden.name == "inner"


def test_a_gradient_is_refused(write):
    phi = features.onnx(write())
    x = torch.randn(5, 3, requires_grad=True)
    with pytest.raises(MetricError, match=r"cannot be traced .* Export .* TorchScript"):
        phi(x)
    with torch.no_grad():
        assert phi(x).shape == (5, 4)


def test_the_fingerprint_follows_the_weights_wherever_they_are(write, network):
    inside, beside = write(), write("far.onnx", beside="far.weights")
    x = torch.randn(5, 3)
    assert torch.equal(features.onnx(beside)(x), features.onnx(inside)(x))
    before = [features.onnx(path).fingerprint for path in (inside, beside)]
    assert before == [features.onnx(path).fingerprint for path in (inside, beside)]
    network[2].bias.data[1] += 1e-6
    write(), write("far.onnx", beside="far.weights")
    after = [features.onnx(path).fingerprint for path in (inside, beside)]
    assert len({*before, *after}) == 4


def test_files_that_are_named_inside_count_too(tmp_path):
    entry = b"\x0a\x08location\x12\x07weights"
    (tmp_path / "net.onnx").write_bytes(b"head" + entry + b"tail")
    alone = _fingerprint(tmp_path / "net.onnx")
    (tmp_path / "weights").write_bytes(b"1")
    one = _fingerprint(tmp_path / "net.onnx")
    (tmp_path / "weights").write_bytes(b"2")
    assert len({alone, one, _fingerprint(tmp_path / "net.onnx")}) == 3


def test_instances_that_do_not_fit_are_refused(write):
    with pytest.raises(
        DataError, match=r"takes 'x' of shape \['n', 3\], but is given \(5, 2\)"
    ):
        features.onnx(write())(torch.zeros(5, 2))
    with pytest.raises(
        DataError, match=r"shape \[2, 3\], but is given \(5, 3\).* free first"
    ):
        features.onnx(write(n=2))(torch.zeros(5, 3))
    with pytest.raises(DataError, match=r"'lite' has `n_features`=7, but gives 4"):
        features.onnx(write(), n_features=7)(torch.zeros(5, 3))


def test_an_output_without_rows_is_refused(write):
    with pytest.raises(
        DataError, match=r"'total' of .* has shape \(1, 1\) for 5 instances"
    ):
        features.onnx(write(), output="total")(torch.zeros(5, 3))


def test_networks_that_are_no_feature_maps_are_refused(write):
    with pytest.raises(
        DataError, match=r"no output 'z'; it has \['y', 'hidden', 'total'\]"
    ):
        features.onnx(write(), output="z")
    with pytest.raises(
        DataError, match=r"reads \[\('x', .*\('w', .* reads instances alone"
    ):
        features.onnx(write(inputs=("x", "w")))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"There is no file '.*absent.onnx'"):
        features.onnx(tmp_path / "absent.onnx")


def test_a_file_that_is_not_onnx_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    path = tmp_path / "net.onnx"
    path.write_text("nothing of the kind")
    with pytest.raises(DataError, match=r"net.onnx' does not hold an ONNX network"):
        features.onnx(path)
