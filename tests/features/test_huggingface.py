"""Vision models of `transformers`; the tests that load one need the extra."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from counterplay import features
from counterplay.errors import DataError
from counterplay.features.huggingface import _steps, PROCESSOR, VisionNetwork


CONFIG = {
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 28, "width": 28},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


class Pixels(nn.Module):
    """A model that shows what it is given."""

    def forward(self, pixel_values):
        return type("Output", (dict,), {"pooler_output": pixel_values})()


@pytest.fixture(params=["dinov2", "clip_vision", "clip"])
def folder(request, tmp_path):
    transformers = pytest.importorskip(
        "transformers", reason="needs the extra transformers"
    )
    torch.manual_seed(0)
    vision = {**SMALL, "intermediate_size": 32}
    if request.param == "dinov2":
        model = transformers.Dinov2Model(transformers.Dinov2Config(**SMALL, mlp_ratio=2))
    elif request.param == "clip_vision":
        model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**vision))
    else:
        text = {"vocab_size": 10, "bos_token_id": 1, "eos_token_id": 2, **vision}
        del text["image_size"], text["patch_size"]
        config = transformers.CLIPConfig(text_config=text, vision_config=vision)
        model = transformers.CLIPModel(config)
    path = tmp_path / "tiny-model"
    model.save_pretrained(path)
    (path / PROCESSOR).write_text(json.dumps(CONFIG))
    return path, getattr(model, "vision_model", model).eval()


def by_pillow(x):
    """Images in [-1, 1] as the configuration says, channel by channel in floats."""
    height, width = x.shape[2:]
    scale = 32 / min(height, width)
    size = int(scale * width), int(scale * height)
    found = []
    for image in (x + 1) * 127.5:
        channels = [
            Image.fromarray(c.numpy()).resize(size, Image.Resampling.BICUBIC)
            for c in image.expand(3, -1, -1)
        ]
        found.append(np.array([np.asarray(channel) for channel in channels]))
    resized = torch.tensor(np.array(found)) / 255
    top, left = (resized.shape[2] - 28) // 2, (resized.shape[3] - 28) // 2
    cropped = resized[:, :, top : top + 28, left : left + 28]
    mean, std = torch.tensor(CONFIG["image_mean"]), torch.tensor(CONFIG["image_std"])
    return (cropped - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize("shape", [(4, 3, 20, 26), (4, 1, 40, 40)], ids=str)
def test_a_model_reads_what_its_configuration_says(folder, shape):
    path, model = folder
    phi = features.huggingface(path)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = model(pixel_values=by_pillow(x)).pooler_output
    torch.testing.assert_close(phi(x), expected, rtol=1e-4, atol=1e-4)
    assert phi.name == "tiny_model_bicubic32_crop28"
    assert phi(x).shape == (4, 16)


def test_the_gradient_reaches_the_images_alone(folder):
    phi = features.huggingface(folder[0], quantise=True)
    x = (torch.rand(2, 3, 30, 30) * 2 - 1).requires_grad_()
    assert torch.autograd.grad(phi(x).square().sum(), x)[0].any()
    assert not any(p.requires_grad for p in phi.map.module.parameters())
    assert phi.name == "tiny_model_bicubic32_crop28_uint8"


def test_the_fingerprint_follows_weights_and_preprocessing(folder):
    path, _ = folder
    first = features.huggingface(path).fingerprint
    assert features.huggingface(path).fingerprint == first
    assert features.huggingface(path, crop=False).fingerprint != first
    (path / PROCESSOR).write_text(json.dumps({**CONFIG, "resample": 2}))
    assert features.huggingface(path).fingerprint != first


def test_a_folder_without_a_configuration_of_the_images_is_refused(folder):
    path, _ = folder
    (path / PROCESSOR).write_text(json.dumps({**CONFIG, "resample": 1}))
    with pytest.raises(DataError, match="cannot be followed: `resample` is 1"):
        features.huggingface(path)
    (path / PROCESSOR).unlink()
    with pytest.raises(DataError, match=rf"The {PROCESSOR} of .* cannot be followed"):
        features.huggingface(path)


def test_weights_that_would_be_random_are_refused(folder):
    path, _ = folder
    from_file = pytest.importorskip("safetensors.torch")
    tensors = from_file.load_file(path / "model.safetensors")
    norm = next(
        name for name in tensors if name.endswith("layernorm.weight") and "text" not in name
    )
    del tensors[norm]
    from_file.save_file(tensors, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"lack 1 weights, such as '.*layernorm.weight'"):
        features.huggingface(path)


def test_a_model_that_is_not_here_is_refused(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra transformers")
    with pytest.raises(DataError, match=r"no model '.*absent' here: .* `hf download`"):
        features.huggingface(tmp_path / "absent")


@pytest.mark.parametrize(
    ("changed", "crop", "name", "shape"),
    [
        ({}, True, "bicubic32_crop28", (28, 28)),
        ({}, False, "bicubic28", (28, 28)),
        ({"do_center_crop": False}, True, "bicubic32", (32, 64)),
        ({"size": 36, "crop_size": 30}, True, "bicubic36_crop30", (30, 30)),
        (
            {"size": {"height": 9, "width": 8}, "do_center_crop": False},
            True,
            "bicubic9x8",
            (9, 8),
        ),
        ({"size": 12, "do_center_crop": False}, True, "bicubic12", (12, 12)),
        ({"do_resize": False, "crop_size": 16}, True, "crop16", (16, 16)),
        ({"resample": 2}, True, "bilinear32_crop28", (28, 28)),
    ],
)
def test_every_way_to_say_a_size_is_followed(changed, crop, name, shape):
    network = VisionNetwork(Pixels(), **_steps({**CONFIG, **changed}, crop=crop))
    assert network.description == name
    assert network(torch.zeros(1, 3, 20, 40)).shape[2:] == shape


def test_what_a_configuration_leaves_out_is_not_done():
    config = {"do_resize": False, "do_rescale": False, "do_normalize": False}
    levels = torch.rand(2, 3, 4, 4) * 255
    network = VisionNetwork(Pixels(), **_steps(config, crop=True))
    assert torch.equal(network(levels), levels)
    assert network.description == ""


def test_images_below_the_crop_are_refused():
    steps = _steps({**CONFIG, "do_resize": False}, crop=True)
    with pytest.raises(DataError, match="20 x 40 pixels cannot be cropped to 28 x 28"):
        VisionNetwork(Pixels(), **steps)(torch.zeros(1, 3, 20, 40))


def test_a_model_that_does_not_pool_is_refused():
    class Bare(nn.Module):
        def forward(self, pixel_values):
            return {"last_hidden_state": pixel_values}

    network = VisionNetwork(Bare(), **_steps(CONFIG, crop=True))
    with pytest.raises(
        DataError, match=r"A Bare gives \['last_hidden_state'\], but no pooled"
    ):
        network(torch.zeros(1, 3, 32, 32))
