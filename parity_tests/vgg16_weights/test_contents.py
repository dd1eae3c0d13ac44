"""How maps are flattened for fc1: what the file says, or the user, or the default that is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import judge_logits, same
from parity_tests.support.weights.older_keras import Layer, keras_2, layers_of
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights.detection import read

pytestmark = pytest.mark.usefixtures("no_first_reading")


def logits(layers: dict[str, Layer], images: np.ndarray) -> np.ndarray:
    """What Keras's model computes on (N, C, H, W) with a plain Flatten, by PyTorch's functions."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = torch.tensor(images)
    for name, (kernel, bias) in layers.items():
        weight, offset = torch.tensor(kernel), torch.tensor(bias)
        if weight.ndim == 4:
            if name.endswith("conv1") and name != "block1_conv1":
                x = functional.max_pool2d(x, 2)
            x = functional.relu(functional.conv2d(x, weight.permute(3, 2, 0, 1), offset, padding=1))
            continue
        if name == "fc1":
            x = functional.max_pool2d(x, 2).flatten(1)
        x = x @ weight + offset
        x = x if name == "predictions" else functional.relu(x)
    return np.asarray(x)


def test_channels_first_maps_are_flattened_by_channel(tiny: Checkpoint, tmp_path: Path) -> None:
    import torch_impl

    layers = layers_of(tiny, channels_first=True)
    path = keras_2(tmp_path / "w.h5", layers)
    ported = read(path, data_format="channels_first")
    assert same(ported, tiny)
    assert ported.steps == ("fc1 read as channels_first",)
    # By the numbers of the network, not by a formula for its weights.
    images = np.random.default_rng(3).normal(0, 60, (2, 3, 64, 64)).astype(np.float32)
    model = torch_impl.VGG("tiny")
    torch_impl.load_checkpoint(model, ported)
    ours = np.asarray(model.eval()(torch_tensor(images)).detach())
    for computed in (ours, logits(layers, images)):
        found = judge_logits(computed, ported, images)
        assert found.passed, found.reason
    assert not judge_logits(logits(layers_of(tiny), images), ported, images).passed


def torch_tensor(images: np.ndarray) -> object:
    import torch

    return torch.tensor(images)


def test_the_default_is_said_where_nothing_else_says_it(tiny: Checkpoint, tmp_path: Path) -> None:
    ported = read(keras_2(tmp_path / "w.h5", layers_of(tiny)))
    assert same(ported, tiny)
    assert ported.steps == ("fc1 read as channels_last (else: --data-format channels_first)",)


def test_nothing_is_said_where_nothing_is_open(tiny: Checkpoint, tmp_path: Path) -> None:
    features = {name: layer for name, layer in layers_of(tiny).items() if "conv" in name}
    assert read(keras_2(tmp_path / "notop.h5", features)).steps == ()
    for name in ("keras-h5", "keras-weights-h5", "keras", "npz"):
        vgg16_weights.write(tiny, tmp_path / "ours", name)
        assert read(tmp_path / "ours", data_format="channels_last").steps == ()


@pytest.mark.parametrize("name", ["keras", "npz"])
def test_another_order_than_the_files_is_refused(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    vgg16_weights.write(tiny, tmp_path / "w", name)
    with pytest.raises(BadInput, match="it flattens its maps in the order channels_last; expected"):
        read(tmp_path / "w", data_format="channels_first")
