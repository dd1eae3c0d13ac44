"""Keras 3's ``.weights.h5``: files that are none of Keras's are refused, and say why."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import same
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

pytestmark = pytest.mark.usefixtures("no_first_reading")

FORMAT = "keras-weights-h5"


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
    "layers is an array": "it is an HDF5 file without weights of Keras",
    "a layer is an array": "it is an HDF5 file without weights of Keras",
    "a variable is a group": "layers/conv2d/vars/0 is not an array",
    "a variable has no shape": "layers/conv2d/vars/0 is not an array",
    "two layers of one name": "holds block1_conv1.weight twice",
    "a number for our metadata": "it is an HDF5 file without weights of Keras",
    "a text variable": "has no convolutions",
}


@pytest.mark.parametrize("kind", STRANGE_FILES)
def test_strange_keras_files_are_refused(kind: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        strange(kind, file)
    with pytest.raises(BadInput, match=STRANGE_FILES[kind]):
        vgg16_weights.read(tmp_path / "w.weights.h5", FORMAT)


@pytest.fixture
def written(tiny: Checkpoint, tmp_path: Path) -> Path:
    vgg16_weights.write(tiny, tmp_path / "w.weights.h5", FORMAT)
    return tmp_path / "w.weights.h5"


FC1 = "layers/dense/vars/0"


def replaced(path: Path, kind: str) -> None:
    """Keep fc1's values elsewhere, or otherwise than as they are."""
    with h5py.File(path, "r+") as file:
        values = file[FC1][()]
        del file[FC1]
        match kind:
            case "a soft link":
                file["elsewhere"] = values
                file[FC1] = h5py.SoftLink("/elsewhere")
            case "an external link":
                with h5py.File(path.with_name("other.h5"), "w") as other:
                    other["x"] = values
                file[FC1] = h5py.ExternalLink("other.h5", "x")
            case "external storage":
                path.with_name("raw").write_bytes(values.tobytes())
                place = [(str(path.with_name("raw")), 0, values.nbytes)]
                file.create_dataset(FC1, values.shape, "f4", external=place)
            case "a virtual dataset":
                layout = h5py.VirtualLayout(values.shape, "f4")
                layout[:] = h5py.VirtualSource("other.h5", "x", values.shape)
                file.create_virtual_dataset(FC1, layout)
            case "huge chunks":
                file.create_dataset(FC1, data=values, chunks=(1 << 22, 64), maxshape=(None, 64))
            case "a missing chunk":
                dataset = file.create_dataset(FC1, values.shape, "f4", chunks=(16, 8))
                dataset[16:] = values[16:]


ELSEWHERE = {
    "a soft link": "/0 is a link",
    "an external link": "/0 is a link",
    "external storage": "is stored in another file",
    "a virtual dataset": "is stored in another file",
    "huge chunks": "has more than 536870912 bytes",
    "a missing chunk": "/layers/dense/vars/0 lacks some of its chunks",
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_values_that_are_not_simply_there_are_refused(written: Path, kind: str) -> None:
    replaced(written, kind)
    with pytest.raises(BadInput, match=ELSEWHERE[kind]) as refusal:
        vgg16_weights.read(written, FORMAT)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_chunks_are_read(written: Path, tiny: Checkpoint, compression: str | None) -> None:
    with h5py.File(written, "r+") as file:
        values = file[FC1][()]
        del file[FC1]
        file.create_dataset(FC1, data=values, chunks=(16, 8), compression=compression)
    assert same(vgg16_weights.read(written, FORMAT), tiny)


@pytest.mark.usefixtures("first_reading")
@pytest.mark.parametrize("name", [FC1, "optimizer/momentum"])
def test_only_weights_need_their_filter(written: Path, tiny: Checkpoint, name: str) -> None:
    with h5py.File(written, "r+") as file:
        values = file[FC1][()]
        if name == FC1:
            del file[FC1]
        file.create_dataset(name, data=values, chunks=(16, 8), compression="lzf")
    whole = written.read_bytes()
    # The filter's number, and the length of its name.
    lzf, unknown = (struct.pack("<HH", code, 8) for code in (h5py.h5z.FILTER_LZF, 32_099))
    assert whole.count(lzf) == 1
    written.write_bytes(whole.replace(lzf, unknown))
    if name == FC1:
        with pytest.raises(BadInput, match="0 needs HDF5's filter lzf, which is not installed"):
            vgg16_weights.read(written, FORMAT)
    else:
        assert same(vgg16_weights.read(written, FORMAT), tiny)


def test_tensors_are_views_of_the_mapped_file(written: Path) -> None:
    read = vgg16_weights.read(written, FORMAT)
    for name in read:
        view = read.tensor(name).view()
        assert not view.flags.owndata
        assert not view.flags.writeable


def test_what_is_written_needs_no_more_room_than_its_values(
    written: Path, tiny: Checkpoint
) -> None:
    with h5py.File(written) as file:
        assert file[FC1].chunks is None
        assert file[FC1].id.get_storage_size() == tiny["fc1.weight"].nbytes
    assert written.stat().st_size < 4 * tiny.configuration.parameters() + (1 << 16)
