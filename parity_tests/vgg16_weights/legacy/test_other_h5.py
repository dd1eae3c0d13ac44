"""HDF5 files of other programs: read by their shapes, or called what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.older_keras import layers_of
from parity_tests.support.weights.refusals import refusal
from parity_tests.support.weights.tiny_files import caffe_h5
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.names import torchvision_keys
from vgg16_weights.legacy import other_h5

pytestmark = pytest.mark.usefixtures("no_first_reading")


def test_caffes_snapshot_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    caffe_h5(tiny, tmp_path / "w.caffemodel.h5")
    read = vgg16_weights.read(tmp_path / "w.caffemodel.h5")
    assert same(read, tiny)
    assert read.metadata.source_format == "caffe-h5"
    assert read.metadata.recipe == "caffe"
    assert read.steps == ()


def flat(file: h5py.File, key: str, values: object) -> None:
    file[key] = values


def grouped(file: h5py.File, key: str, values: object) -> None:
    file[key.replace(".", "/")] = values


def wrapped(file: h5py.File, key: str, values: object) -> None:
    file[f"state_dict/{key}"] = values


@pytest.mark.parametrize("write", [flat, grouped, wrapped])
def test_a_state_dict_written_by_hand_is_read(
    tiny: Checkpoint, tmp_path: Path, write: Callable[[h5py.File, str, object], None]
) -> None:
    keys = torchvision_keys(tiny.configuration)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for name in tiny:
            write(file, keys[name], tiny[name])
    assert vgg16_weights.detect(tmp_path / "w.h5") == "torch-h5"
    tensors = other_h5.read(tmp_path / "w.h5").tensors
    prefix = "state_dict/" if write is wrapped else ""
    for name in tiny:
        assert np.array_equal(tensors[f"{prefix}{keys[name]}"].view(), tiny[name])
    if not prefix:
        read = vgg16_weights.read(tmp_path / "w.h5")
        assert same(read, tiny)
        assert read.metadata.recipe == "torchvision"


def test_kernels_in_another_order_are_not_guessed(tiny: Checkpoint, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for layer, (kernel, bias) in layers_of(tiny).items():
            file[f"{layer}.weight"], file[f"{layer}.bias"] = kernel, bias
    said = refusal(vgg16_weights.detect(tmp_path / "w.h5"), tmp_path / "w.h5")
    assert "an HDF5 file that is not Keras's, without kernels of shape (out, in, kH, kW)" in said


@pytest.mark.parametrize(
    ("mark", "called"),
    [("_NCProperties", "a NetCDF file"), ("MATLAB_class", "a MATLAB 7.3 file"), ("x", "an HDF5 f")],
)
def test_files_of_other_programs_are_called_what_they_are(
    tmp_path: Path, mark: str, called: str
) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = np.ones((3, 3))
        file["x"].attrs[mark] = file.attrs[mark] = np.bytes_("single")
    said = refusal(vgg16_weights.detect(tmp_path / "w.h5"), tmp_path / "w.h5")
    assert f"cannot be used (it is {called}" in said
    assert len(said) < 300 + len(str(tmp_path))


# What leads from one group to others: a path in the file -> what it says.
STRANGE = {
    "a group inside itself": "its groups are nested more than 32 deep",
    "countless groups": "it has more than 4096 groups",
    "a link out of the file": "is a link",
    "a link in the file": "is a link",
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("file_format", ["caffe-h5", "torch-h5", "keras-weights-h5"])
def test_groups_that_lead_astray_are_refused(
    tiny: Checkpoint, tmp_path: Path, kind: str, file_format: str
) -> None:
    path = tmp_path / "w.h5"
    if file_format == "keras-weights-h5":
        vgg16_weights.write(tiny, path, file_format)
    else:
        caffe_h5(tiny, path)
    with h5py.File(path, "r+") as file:
        first = next(iter(file.values()))
        match kind:
            case "a group inside itself":
                first["again"] = first
            case "countless groups":
                for number in range(4096):
                    file.create_group(f"aside/{number}")
            case "a link out of the file":
                with h5py.File(tmp_path / "other.h5", "w") as other:
                    other["x"] = np.ones(3)
                first["x"] = h5py.ExternalLink("other.h5", "x")
            case "a link in the file":
                first["x"] = h5py.SoftLink("/")
    assert STRANGE[kind] in refusal(file_format, path)


@pytest.mark.parametrize("name", ["..", "a\nb", "/", "\\", "x" * 5000, "."])
def test_names_that_mean_something_to_a_system_are_only_names(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    """Nothing is opened by a name from the file, and an error stays one line."""
    vgg16_weights.write(tiny, tmp_path / "w.weights.h5", "keras-weights-h5")
    with h5py.File(tmp_path / "w.weights.h5", "r+") as file:
        file["layers/conv2d_7/vars"].attrs["name"] = name
    assert "\n" not in refusal("keras-weights-h5", tmp_path / "w.weights.h5")
