"""Keras's weights from before version 3, as Keras itself writes and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

import keras_impl
import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.refusals import refusal, survive_damage
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.layouts import canonical_to_keras

pytestmark = pytest.mark.usefixtures("no_first_reading")

FORMAT = "keras-h5"


def published(
    checkpoint: Checkpoint, path: Path, *, backwards: bool = False, kind: str = "S", **options: Any
) -> Path:
    """A file in the published one's form, by h5py's own means."""
    layers = [layer.name for layer in checkpoint.configuration.layers]
    shape = checkpoint.configuration.feature_shape
    with h5py.File(path, "w") as file:
        listed = layers[::-1] if backwards else layers
        file.attrs["layer_names"] = listed if kind == "O" else np.array(listed, kind)
        for layer in layers:
            group = file.create_group(layer)
            names = []
            for part, letter in (("weight", "W"), ("bias", "b")):
                name = f"{layer}.{part}"
                if name in checkpoint:
                    names.append(f"{layer}_{letter}_1:0")
                    values = canonical_to_keras(name, checkpoint[name], shape)
                    group.create_dataset(names[-1], data=values, **options)
            listed = names[::-1] if backwards else names
            group.attrs["weight_names"] = np.array(listed, "S") if names else []
    return path


def model_of(checkpoint: Checkpoint) -> keras.Model:
    network = checkpoint.configuration
    model = keras_impl.functional(
        network.name, include_top=network.include_top, classes=network.classes
    )
    keras_impl.load_checkpoint(model, checkpoint)
    return model


@pytest.mark.parametrize("include_top", [True, False])
@pytest.mark.parametrize("kind", ["S", "O"], ids=["bytes", "str"])
def test_a_file_in_the_published_form_is_read(tmp_path: Path, include_top: bool, kind: str) -> None:
    checkpoint = generate(configuration("tiny", include_top=include_top))
    path = published(checkpoint, tmp_path / "w.h5", kind=kind)
    read = vgg16_weights.read(path, FORMAT)
    assert same(read, checkpoint)
    assert read.metadata.recipe == "caffe"
    assert read.metadata.source_format == "keras-h5"
    assert read.metadata.source_sha256 == digest(path)


def test_layers_and_arrays_are_found_by_name_not_by_order(tiny: Checkpoint, tmp_path: Path) -> None:
    path = published(tiny, tmp_path / "w.h5", backwards=True)
    assert same(vgg16_weights.read(path, FORMAT), tiny)


def test_a_whole_model_that_keras_saves_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    model_of(tiny).save(tmp_path / "w.h5")
    assert same(vgg16_weights.read(tmp_path / "w.h5", FORMAT), tiny)


def test_weights_that_keras_saves_are_read(tiny: Checkpoint, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model_of(tiny))
    assert same(vgg16_weights.read(tmp_path / "w.h5", FORMAT), tiny)


def test_names_in_several_attributes_are_read(tiny: Checkpoint, tmp_path: Path) -> None:
    path = published(tiny, tmp_path / "w.h5")
    with h5py.File(path, "r+") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        for number, part in enumerate(np.array_split(names, 3)):
            file.attrs[f"layer_names{number}"] = part
    assert vgg16_weights.detect(path) == FORMAT
    assert same(vgg16_weights.read(path, FORMAT), tiny)


@pytest.mark.parametrize("name", ["A", "C"])
def test_other_columns_are_recognised(tmp_path: Path, name: str) -> None:
    features = generate(configuration(name, include_top=False))
    vgg16_weights.write(features, tmp_path / "w.h5", FORMAT)
    read = vgg16_weights.read(tmp_path / "w.h5", FORMAT)
    assert read.configuration == features.configuration
    assert same(read, features)


@pytest.mark.parametrize(("include_top", "classes"), [(True, 1000), (True, 7), (False, 1000)])
def test_keras_loads_the_file_that_is_written(
    tmp_path: Path, include_top: bool, classes: int
) -> None:
    checkpoint = generate(configuration("tiny", include_top=include_top, classes=classes), 4)
    vgg16_weights.write(checkpoint, tmp_path / "w.h5", FORMAT)
    model = keras_impl.functional("tiny", include_top=include_top, classes=classes)
    model.load_weights(tmp_path / "w.h5")
    assert same(keras_impl.to_checkpoint(model), checkpoint)


@pytest.mark.full
def test_keras_applications_loads_the_file_that_is_written(
    full: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "w.h5"
    vgg16_weights.write(full, path, FORMAT)
    model = keras.applications.VGG16(weights=str(path))
    assert same(keras_impl.to_checkpoint(model), full)
    assert same(vgg16_weights.read(path, FORMAT), full)
    path.unlink()  # 0.5 GB


def test_what_is_written_has_the_published_structure(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.h5", FORMAT)
    published(tiny, tmp_path / "published.h5")
    with h5py.File(tmp_path / "w.h5") as ours, h5py.File(tmp_path / "published.h5") as theirs:
        assert list(ours) == list(theirs)
        assert list(ours.attrs["layer_names"]) == list(theirs.attrs["layer_names"])
        for layer in theirs:
            names = list(theirs[layer].attrs["weight_names"])
            assert list(ours[layer].attrs["weight_names"]) == names
            for name in names:
                array, expected = ours[layer][name.decode()], theirs[layer][name.decode()]
                assert array.dtype == expected.dtype
                assert np.array_equal(array, expected)


def test_the_metadata_and_the_bytes_come_back(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "a.h5", FORMAT)
    read = vgg16_weights.read(tmp_path / "a.h5", FORMAT)
    assert read.metadata == tiny.metadata
    vgg16_weights.write(read, tmp_path / "b.h5", FORMAT)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_every_problem_stands_in_one_error(tiny: Checkpoint, tmp_path: Path) -> None:
    path = published(tiny, tmp_path / "w.h5")
    with h5py.File(path, "r+") as file:
        file["fc2"].attrs["weight_names"] = np.array(["fc2_W_1:0"], "S")
        file["flatten/x"] = np.ones((3, 4), np.float32)
        file["flatten"].attrs["weight_names"] = np.array(["x"], "S")
        values = file["fc1/fc1_b_1:0"][()]
        del file["fc1/fc1_b_1:0"], file["predictions/predictions_W_1:0"]
        file["fc1/fc1_b_1:0"] = values.astype(np.int64)
        file["predictions/predictions_W_1:0"] = np.ones((31, 1000), np.float32)
    problems = refusal(FORMAT, path)
    assert "missing: fc2.bias; unexpected: flatten.weight; wrong shape: predictions.we" in problems
    assert "wrong type: fc1.bias is int64" in problems


STRANGE = {
    "an external link": "block1_conv1_W_1:0 is a link",
    "a soft link": "block1_conv1_W_1:0 is a link",
    "a layer that is a link": "block1_conv1 is a link",
    "values in another file": "block1_conv1_W_1:0 is stored in another file",
    "a layer that is not there": "it has no layer 'gone'",
    "an array that is not there": "/block1_conv1/gone is not an array",
    "an array that is a group": "/block1_conv1/group is not an array",
    "an empty array": "/block1_conv1/empty is not an array",
    "two kernels": "/block1_conv1 lists a name twice",
    "a path that leads back": "/block1_conv1/../block1_conv1/block1_conv1_W_1:0 is not an array",
    "a number for names": "is not a list of names",
    "countless names": "is not a list of names",
    "an endless name": "has names that are too long",
    "names in a megabyte": "the attribute 'layer_names' of / is too large",
    "a layer over and over": "it lists more than 4096 arrays",
    "no names of arrays": "/block1_conv1 has no attribute 'weight_names'",
    "no names": "it has no attribute 'layer_names'",
}


def strange(kind: str, path: Path) -> None:
    """Make a file that is not as Keras writes it."""
    other = path.with_name("other.h5")
    with h5py.File(path, "r+") as file:
        group = file["block1_conv1"]
        array = "block1_conv1_W_1:0"
        match kind:
            case "an external link" | "a soft link" | "values in another file":
                path.with_name("values").write_bytes(bytes(1 << 10))
                group.move(array, "moved")
                with h5py.File(other, "w") as elsewhere:
                    elsewhere["x"] = group["moved"][()]
                if kind == "values in another file":
                    parts = [(str(path.with_name("values")), 0, 432)]
                    group.create_dataset(array, (3, 3, 3, 4), np.float32, external=parts)
                else:
                    external = kind == "an external link"
                    group[array] = (
                        h5py.ExternalLink(str(other), "x") if external else h5py.SoftLink("moved")
                    )
            case "a layer that is a link":
                file.move("block1_conv1", "moved")
                file["block1_conv1"] = h5py.SoftLink("moved")
            case "a layer that is not there":
                file.attrs["layer_names"] = np.array(["gone"], "S")
            case "an array that is not there":
                group.attrs["weight_names"] = np.array(["gone"], "S")
            case "an array that is a group":
                group.create_group("group")
                group.attrs["weight_names"] = np.array(["group"], "S")
            case "an empty array":
                group["empty"] = h5py.Empty("f4")
                group.attrs["weight_names"] = np.array(["empty"], "S")
            case "two kernels":
                group.attrs["weight_names"] = np.array([array, array], "S")
            case "a path that leads back":
                group.attrs["weight_names"] = np.array([f"../block1_conv1/{array}"], "S")
            case "a number for names":
                group.attrs["weight_names"] = 5
            case "countless names":
                group.attrs["weight_names"] = np.array([b"x"] * 5000)
            case "an endless name":
                file.attrs["layer_names"] = np.array([b"x" * 5000])
            case "a layer over and over":
                file.attrs["layer_names"] = np.array(["block1_conv1"] * 2049, "S")
            case "no names of arrays":
                del group.attrs["weight_names"]
            case "no names":
                del file.attrs["layer_names"]
    if kind == "names in a megabyte":
        # Only in the newest form is an attribute so large.
        with h5py.File(path, "w", libver="latest") as file:
            file.attrs["layer_names"] = np.array([b"x"] * 4096, "S257")


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_files_are_refused(tiny: Checkpoint, tmp_path: Path, kind: str) -> None:
    path = published(tiny, tmp_path / "w.h5")
    strange(kind, path)
    assert STRANGE[kind] in refusal(FORMAT, path)


def test_compressed_arrays_are_read(tiny: Checkpoint, tmp_path: Path) -> None:
    path = published(tiny, tmp_path / "w.h5", compression="gzip")
    assert same(vgg16_weights.read(path, FORMAT), tiny)


def test_an_array_of_terabytes_that_is_not_there_is_refused(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = published(tiny, tmp_path / "w.h5")
    with h5py.File(path, "r+") as file:
        del file["fc2/fc2_W_1:0"]
        shape = (1 << 20, 1 << 20)
        file["fc2"].create_dataset("fc2_W_1:0", shape, np.float32, chunks=(1 << 14, 1 << 14))
    assert "has more than 536870912 bytes" in refusal(FORMAT, path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(tiny: Checkpoint, tmp_path: Path, kept: float) -> None:
    path = published(tiny, tmp_path / "w.h5")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert ("is truncated" if kept else "is empty") in refusal(FORMAT, path)


@pytest.mark.usefixtures("first_reading")
def test_damaged_files_are_refused_or_are_whole_checkpoints(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.h5", FORMAT)
    whole = (tmp_path / "w.h5").read_bytes()
    assert survive_damage(FORMAT, whole, tmp_path / "w.h5", seed=1, mutants=40)


def test_keras_3s_own_weights_are_not_taken_for_older_ones(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "w.weights.h5"
    model_of(tiny).save_weights(path)
    assert vgg16_weights.detect(path) == "keras-weights-h5"
    published(tiny, path)
    assert vgg16_weights.detect(path) == FORMAT
