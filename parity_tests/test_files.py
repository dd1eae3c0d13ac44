"""Weights go through the frameworks' own file formats and loaders bit for bit."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import torchvision

import keras_impl
import torch_impl
from parity_tests.helpers import same
from vgg16.architecture import CONFIGURATIONS, configuration
from vgg16.checkpoint import (
    Checkpoint,
    Metadata,
    Tensor,
    digest,
    open_checkpoint,
    write_checkpoint,
)
from vgg16.errors import BadInput
from vgg16.names import torchvision_keys
from vgg16.seeded import generate


def state_dict(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    keys = torchvision_keys(checkpoint.configuration)
    return {key: torch.from_numpy(checkpoint[name].copy()) for name, key in keys.items()}


@pytest.mark.full
def test_torchvisions_model_loads_the_file_strictly(tmp_path: Path) -> None:
    # Column A with 10 classes: torchvision's smallest whole network.
    checkpoint = generate(configuration("A", classes=10))
    torch_impl.write_weights(checkpoint, tmp_path / "w.pth")
    with torch.device("meta"):
        model = torchvision.models.vgg11(weights=None, num_classes=10)
    state = torch.load(tmp_path / "w.pth", weights_only=True)
    model.load_state_dict(state, strict=True, assign=True)
    assert np.array_equal(model.classifier[0].weight.numpy(force=True), checkpoint["fc1.weight"])
    assert same(torch_impl.read_weights(tmp_path / "w.pth"), checkpoint)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
def test_a_state_dict_that_pytorch_saves_is_read(
    tiny: Checkpoint, tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "w.pth"
    torch.save(state_dict(tiny), path, _use_new_zipfile_serialization=zipped)
    read = torch_impl.read_weights(path)
    assert same(read, tiny)
    assert read.metadata == Metadata("torchvision", "w.pth", "torchvision", digest(path))


def test_a_state_dict_in_another_order_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    torch.save(dict(reversed(state_dict(tiny).items())), tmp_path / "w.pth")
    assert same(torch_impl.read_weights(tmp_path / "w.pth"), tiny)


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("A", "C", "tiny") else pytest.param(name, marks=pytest.mark.full)
        for name in CONFIGURATIONS
    ],
)
def test_every_configuration_is_recognised_in_both_formats(tmp_path: Path, name: str) -> None:
    features = generate(configuration(name, include_top=False))
    for impl, ending in ((torch_impl, "pth"), (keras_impl, "weights.h5")):
        impl.write_weights(features, tmp_path / f"w.{ending}")
        read = impl.read_weights(tmp_path / f"w.{ending}")
        assert read.configuration == features.configuration
        assert same(read, features)


@pytest.mark.parametrize("classes", [1000, 7])
def test_a_chain_through_every_format_is_bit_exact(tmp_path: Path, classes: int) -> None:
    start = generate(configuration("tiny", classes=classes), 9)
    torch_impl.write_weights(start, tmp_path / "a.pth")
    keras_impl.write_weights(torch_impl.read_weights(tmp_path / "a.pth"), tmp_path / "b.weights.h5")
    write_checkpoint(keras_impl.read_weights(tmp_path / "b.weights.h5"), tmp_path / "c.safetensors")
    assert same(open_checkpoint(tmp_path / "c.safetensors"), start)


@pytest.mark.parametrize("impl", [torch_impl, keras_impl])
def test_the_metadata_travel_in_the_files_that_are_written(
    impl: Any, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "w"
    impl.write_weights(tiny, path)
    assert impl.read_weights(path).metadata == tiny.metadata
    impl.write_weights(tiny.with_recipe("caffe"), path)
    assert impl.read_weights(path).metadata.recipe == "caffe"


@pytest.mark.parametrize("impl", [torch_impl, keras_impl])
def test_values_that_are_not_finite_are_never_written(
    impl: Any, tiny: Checkpoint, tmp_path: Path
) -> None:
    tensors = {name: Tensor.of(np.array(tiny[name])) for name in tiny}
    tensors["fc2.bias"].read()[3] = np.nan
    broken = Checkpoint(tiny.configuration, tiny.metadata, tensors)
    with pytest.raises(BadInput, match=r"not finite \(NaN or infinity\): fc2.bias"):
        impl.write_weights(broken, tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_entry_with_our_metadata_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    torch_impl.write_weights(tiny, tmp_path / "w.pth")
    stored = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(stored.replace(b'"CC0-1.0"', b'"CC0-9.0"'))
    with pytest.raises(BadInput, match=r"a damaged vgg16.json \(Bad CRC-32"):
        torch_impl.read_weights(tmp_path / "w.pth")


STRANGE_STATE_DICTS = {
    "keys that do not sort": {"features.0.weight": torch.ones(1), "features.x.y": torch.ones(1)},
    "a superscript": {"features.².weight": torch.ones(1)},
    "sparse": {"features.0.weight": torch.ones(2).to_sparse()},
    "scalar": {"features.0.weight": torch.tensor(1.0)},
    "numbers for names": {1: torch.ones(1)},
    "empty": {},
}


@pytest.mark.parametrize("state", STRANGE_STATE_DICTS.values(), ids=STRANGE_STATE_DICTS)
def test_strange_state_dicts_are_refused(state: dict[Any, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"configuration|not named tensors|cannot load"):
        torch_impl.read_weights(tmp_path / "w.pth")


def strange(kind: str, file: h5py.File) -> None:
    """Write an HDF5 file that is none of Keras's."""
    match kind:
        case "layers is an array":
            file["layers"] = np.ones(3)
        case "a layer is an array":
            file["layers/conv2d"] = np.ones(3)
        case "a variable is a group":
            file.create_group("layers/conv2d/vars/0")
            file["layers/conv2d/vars"].attrs["name"] = "block1_conv1"
        case "a variable has no shape":
            file["layers/conv2d/vars/0"] = h5py.Empty("f4")
            file["layers/conv2d/vars"].attrs["name"] = "block1_conv1"
        case "two layers of one name":
            for container in ("conv2d", "conv2d_1"):
                file[f"layers/{container}/vars/0"] = np.ones((3, 3, 3, 4), np.float32)
                file[f"layers/{container}/vars"].attrs["name"] = "block1_conv1"
        case "a number for our metadata":
            file.attrs["vgg16"] = 5
            file.create_group("layers")
        case "a text variable":
            file["layers/conv2d/vars/0"] = "text"
            file["layers/conv2d/vars"].attrs["name"] = 7


STRANGE_FILES = {
    "layers is an array": "without the group 'layers'",
    "a layer is an array": "its 0 convolutions",
    "a variable is a group": "layers/conv2d/vars/0 is no array",
    "a variable has no shape": "layers/conv2d/vars/0 is no array",
    "two layers of one name": "holds block1_conv1.weight twice",
    "a number for our metadata": "its 0 convolutions",
    "a text variable": "its 0 convolutions",
}


@pytest.mark.parametrize("kind", STRANGE_FILES)
def test_strange_keras_files_are_refused(kind: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        strange(kind, file)
    with pytest.raises(BadInput, match=STRANGE_FILES[kind]):
        keras_impl.read_weights(tmp_path / "w.weights.h5")


@pytest.mark.parametrize("text", ["", "5", "[1]", "{}", '{"recipe": 3}', "not json", "[" * 60_000])
def test_other_metadata_than_ours_are_not_taken(text: str) -> None:
    assert Metadata.from_json(text) is None


def test_reading_keras_files_imports_no_framework(tiny: Checkpoint, tmp_path: Path) -> None:
    keras_impl.write_weights(tiny, tmp_path / "w.weights.h5")
    code = (
        "import sys, keras_impl\n"
        f"keras_impl.read_weights({str(tmp_path / 'w.weights.h5')!r})['fc1.weight']\n"
        "assert not {'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_problems_of_a_state_dict_stand_in_one_error(tiny: Checkpoint, tmp_path: Path) -> None:
    state = state_dict(tiny)
    del state["classifier.3.bias"]
    state["extra"] = torch.ones(1)
    state["classifier.0.bias"] = state["classifier.0.bias"].to(torch.bfloat16)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"missing: fc2.bias; unexpected: extra; not float32: fc1.b"):
        torch_impl.read_weights(tmp_path / "w.pth")


def test_nothing_in_a_pickle_is_executed(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "executed"), "w"))

    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps(Malicious(), protocol=2))
        archive.writestr("w/version", "3")
        archive.writestr("w/byteorder", "little")
    with pytest.raises(BadInput, match="PyTorch cannot load it"):
        torch_impl.read_weights(tmp_path / "w.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    with pytest.raises(BadInput, match="PyTorch cannot load it"):
        torch_impl.read_weights(tmp_path / "old.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(tiny: Checkpoint, tmp_path: Path, kept: float) -> None:
    for impl, ending in ((torch_impl, "pth"), (keras_impl, "weights.h5")):
        path = tmp_path / f"w.{ending}"
        impl.write_weights(tiny, path)
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
        with pytest.raises(BadInput, match=r"cannot load it|not a readable HDF5 file"):
            impl.read_weights(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(BadInput, match="holds list, not named tensors"):
        torch_impl.read_weights(tmp_path / "list.pth")
    torch.save({"features.0.weight": torch.ones(2, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(BadInput, match="its 1 convolutions are those of no configuration"):
        torch_impl.read_weights(tmp_path / "other.pth")
    with h5py.File(tmp_path / "other.weights.h5", "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(BadInput, match="an HDF5 file without the group 'layers'"):
        keras_impl.read_weights(tmp_path / "other.weights.h5")
    with h5py.File(tmp_path / "unnamed.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.ones((3, 3, 3, 4))
    with pytest.raises(BadInput, match="layers/conv2d does not say its layer's name"):
        keras_impl.read_weights(tmp_path / "unnamed.weights.h5")


def test_missing_files_are_refused(tmp_path: Path) -> None:
    for impl, ending in ((torch_impl, "pth"), (keras_impl, "weights.h5")):
        with pytest.raises(BadInput, match="no such file"):
            impl.read_weights(tmp_path / f"none.{ending}")


def test_a_failed_write_leaves_nothing(tiny: Checkpoint, tmp_path: Path) -> None:
    for impl in (torch_impl, keras_impl):
        with pytest.raises(BadInput, match="no such folder"):
            impl.write_weights(tiny, tmp_path / "none" / "w")
        with pytest.raises(BadInput, match="is a folder"):
            impl.write_weights(tiny, tmp_path)
    assert list(tmp_path.iterdir()) == []
