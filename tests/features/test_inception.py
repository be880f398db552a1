"""Inception-v3 through torch-fidelity; its layers are tested where the extra is installed."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from counterplay import features
from counterplay.errors import DataError


class Extractor(nn.Module):
    """What the map needs of torch-fidelity's: layers in their order, then `fc`."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 2_048, 1, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2_048, 1_008)
        if feature_extractor_weights_path is None:
            raise OSError("no address is reached")
        self.load_state_dict(torch.load(feature_extractor_weights_path))
        self.requires_grad_(False)


def enlarge(x, *, size, align_corners):
    assert size == (299, 299)  # as the weights need it, but the test can do with less
    return nn.functional.interpolate(
        x, (9, 9), mode="bilinear", align_corners=align_corners
    )


@pytest.fixture
def stand_in(monkeypatch):
    """A package in the place of torch-fidelity, with an extractor of one layer."""
    package = ModuleType("torch_fidelity")
    network = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    network.FeatureExtractorInceptionV3 = Extractor
    interpolate = ModuleType("torch_fidelity.interpolate_compat_tensorflow")
    interpolate.interpolate_bilinear_2d_like_tensorflow1x = enlarge
    for module in (package, network, interpolate):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def weights(stand_in, tmp_path):
    torch.manual_seed(0)
    layers = {"conv": nn.Conv2d(3, 2_048, 1, bias=False), "fc": nn.Linear(2_048, 1_008)}
    path = tmp_path / "weights.pth"
    torch.save(nn.ModuleDict(layers).state_dict(), path)
    return path


def test_features_and_logits_follow_the_protocol(weights):
    phi = features.inception(weights)
    state = torch.load(weights)
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    levels = ((x + 1) * 127.5).round().expand(-1, 3, -1, -1)
    seen = (enlarge(levels, size=(299, 299), align_corners=False) - 128) / 128
    expected = seen.mean((2, 3)) @ state["conv.weight"].flatten(1).T
    torch.testing.assert_close(phi(x), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        phi.logits(x), expected @ state["fc.weight"].T, rtol=1e-4, atol=1e-4
    )
    assert phi.name == "inception_tf299_uint8"
    assert phi.n_features == 2_048
    assert phi.fingerprint == features.inception(weights).fingerprint


def test_rounding_is_an_option_and_in_the_name(weights):
    phi = features.inception(weights, quantise=False, from_range=(0, 1))
    assert phi.name == "inception_tf299"
    assert phi.fingerprint != features.inception(weights).fingerprint
    x = torch.rand(1, 3, 4, 4, requires_grad=True)
    assert torch.autograd.grad(phi(x).sum(), x)[0].any()


def test_files_without_weights_are_refused(stand_in, tmp_path):
    with pytest.raises(DataError, match=r"no file '.*absent' to read Inception"):
        features.inception(tmp_path / "absent")
    path = tmp_path / "weights.pth"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"weights.pth' holds no weights"):
        features.inception(path)
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(DataError, match=r"could not be read from '.*weights.pth': Error"):
        features.inception(path)


def test_a_file_with_code_in_it_is_not_run(stand_in, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(print, path)
    with pytest.raises(DataError, match="holds no weights"):
        features.inception(path)


def test_without_a_network_the_file_to_get_is_named(stand_in):
    with pytest.raises(
        DataError, match=r"no address is reached\. Give the file `weights-inception-2015"
    ):
        features.inception()


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """torch-fidelity's own extractor with random weights, and the map of the same file."""
    module = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="needs the extra inception"
    )
    make = module.FeatureExtractorInceptionV3
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(make, "load_state_dict", lambda *_: None)
        drawn = make("drawn", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(drawn.state_dict(), path)
    own = make("own", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))
    return own, features.inception(path)


@pytest.mark.slow
def test_the_values_are_torch_fidelitys_to_the_bit(real):
    own, phi = real
    x = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    rows, logits = own(x)
    images = x / 127.5 - 1
    assert torch.equal(phi(images), rows)
    torch.testing.assert_close(phi.logits(images), logits)


@pytest.mark.slow
def test_the_layers_are_differentiable(real):
    x = (torch.rand(1, 3, 32, 32) * 2 - 1).requires_grad_()
    assert torch.autograd.grad(real[1](x).square().sum(), x)[0].any()
