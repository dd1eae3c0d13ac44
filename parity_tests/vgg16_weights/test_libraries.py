"""What is written the libraries themselves load strictly, and what they write is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision

import vgg16_weights
from parity_tests.support.helpers import same
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import generate

# Whole networks of 10 classes, the smallest of each library: half the size of VGG16's files.
MODELS: dict[str, Callable[[], Any]] = {
    "torchvision": lambda: torchvision.models.vgg11(weights=None, num_classes=10),
    "torchvision-safetensors": lambda: torchvision.models.vgg11(weights=None, num_classes=10),
    "timm": lambda: timm.create_model("vgg11", num_classes=10),
}


def state_of(path: Path, name: str) -> dict[str, torch.Tensor]:
    if name == "torchvision":
        return dict(torch.load(path, weights_only=True, mmap=True))
    return safetensors.torch.load_file(path)


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_the_librarys_own_model_loads_strictly_and_is_read_again(tmp_path: Path, name: str) -> None:
    checkpoint = generate(configuration("A", classes=10))
    written, theirs = tmp_path / "w", tmp_path / "theirs"
    vgg16_weights.write(checkpoint, written, name)
    with torch.device("meta"):
        model = MODELS[name]()
    model.load_state_dict(state_of(written, name), strict=True, assign=True)
    if name == "torchvision":
        torch.save(model.state_dict(), theirs)
    else:
        safetensors.torch.save_file(model.state_dict(), theirs, metadata={"format": "pt"})
    read = vgg16_weights.read(theirs)
    assert same(read, checkpoint)
    assert read.metadata.recipe == "torchvision"
    assert (read.metadata.source_format, read.metadata.source) == (name, "theirs")
    assert read.metadata.source_sha256 == digest(theirs)
    for path in (written, theirs):
        path.unlink()  # 0.5 GB


@pytest.mark.full
def test_timm_loads_vgg16_by_name(tmp_path: Path, full: Checkpoint) -> None:
    path = tmp_path / "model.safetensors"
    vgg16_weights.write(full, path, "timm")
    with torch.device("meta"):
        model = timm.create_model("vgg16")
    model.load_state_dict(safetensors.torch.load_file(path), strict=True, assign=True)
    fc1 = model.state_dict()["pre_logits.fc1.weight"]
    assert fc1.shape == (4096, 512, 7, 7)
    assert fc1.numpy(force=True).tobytes() == full["fc1.weight"].tobytes()
    path.unlink()


@pytest.mark.full
@pytest.mark.parametrize("name", ["keras-weights-h5", "keras-h5", "torchvision", "npz"])
def test_the_main_formats_keep_every_bit_of_vgg16(
    tmp_path: Path, full: Checkpoint, name: str
) -> None:
    vgg16_weights.write(full, tmp_path / "w", name)
    vgg16_weights.write(vgg16_weights.read(tmp_path / "w"), tmp_path / "back", "safetensors")
    (tmp_path / "w").unlink()
    assert digest(tmp_path / "back") == digest(full.file)
    (tmp_path / "back").unlink()


def test_timms_dense_layers_are_convolutions_as_in_its_model(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    vgg16_weights.write(tiny, tmp_path / "w", "timm")
    written = safetensors.torch.load_file(tmp_path / "w")
    with torch.device("meta"):
        theirs = timm.create_model("vgg16").state_dict()
    assert {key: value.ndim for key, value in written.items()} == {
        key: value.ndim for key, value in theirs.items()
    }
    channels, height, width = tiny.configuration.feature_shape
    assert written["pre_logits.fc1.weight"].shape[1:] == (channels, height, width)
    assert written["pre_logits.fc2.weight"].shape[2:] == (1, 1)
