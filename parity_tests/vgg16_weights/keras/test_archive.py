"""Whole models of Keras 3 (``.keras``), as Keras itself writes and opens them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import keras_impl
import vgg16_weights
from parity_tests.support.helpers import Batch, same
from parity_tests.support.weights.refusals import refusal, survive_damage
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_weights.keras.written_config import model_config

pytestmark = pytest.mark.usefixtures("no_first_reading")

FORMAT = "keras"

WEIGHTS = "model.weights.h5"


def model_of(checkpoint: Checkpoint, form: str = "functional") -> keras.Model:
    network = checkpoint.configuration
    model = getattr(keras_impl, form)(
        network.name, include_top=network.include_top, classes=network.classes
    )
    keras_impl.load_checkpoint(model, checkpoint)
    return model


def rezipped(path: Path, changed: dict[str, bytes], **options: Any) -> Path:
    """The archive with some members changed or added."""
    with zipfile.ZipFile(path) as zipped:
        members = {name: zipped.read(name) for name in zipped.namelist()}
    with zipfile.ZipFile(path, "w", **options) as zipped:
        for name, content in (members | changed).items():
            zipped.writestr(name, content)
    return path


def without_identities(config: Any) -> Any:
    """A configuration without the addresses of objects that Keras numbers them by."""
    if isinstance(config, dict):
        return {k: without_identities(v) for k, v in config.items() if k != "shared_object_id"}
    return [without_identities(v) for v in config] if isinstance(config, list | tuple) else config


@pytest.mark.parametrize("form", ["functional", "sequential"])
@pytest.mark.parametrize("include_top", [True, False])
def test_a_model_that_keras_saves_is_read(tmp_path: Path, form: str, include_top: bool) -> None:
    checkpoint = generate(configuration("tiny", include_top=include_top), 2)
    path = tmp_path / "w.keras"
    model_of(checkpoint, form).save(path)
    read = vgg16_weights.read(path, FORMAT)
    assert same(read, checkpoint)
    assert read.metadata.recipe == "caffe"
    assert read.metadata.source_format == "keras"
    assert read.metadata.source_sha256 == digest(path)


def test_a_compiled_and_trained_models_other_state_is_left(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    model = model_of(tiny)
    model.compile("adam", "categorical_crossentropy")
    model.fit(np.zeros((2, 64, 64, 3)), np.eye(2, 1000), verbose=0)
    trained = keras_impl.to_checkpoint(model)
    model.save(tmp_path / "w.keras")
    assert not same(trained, tiny)
    assert same(vgg16_weights.read(tmp_path / "w.keras", FORMAT), trained)


@pytest.mark.parametrize(
    ("name", "include_top", "classes"),
    [("tiny", True, 1000), ("tiny", True, 7), ("tiny", False, 1000), ("A", False, 1000)],
)
def test_keras_opens_the_file_as_the_functional_model(
    tmp_path: Path, name: str, include_top: bool, classes: int
) -> None:
    checkpoint = generate(configuration(name, include_top=include_top, classes=classes), 5)
    vgg16_weights.write(checkpoint, tmp_path / "w.keras", FORMAT)
    opened = keras.saving.load_model(tmp_path / "w.keras")
    keras.utils.clear_session()  # Keras numbers the inputs of a process's models
    model = model_of(checkpoint)
    assert without_identities(opened.get_config()) == without_identities(model.get_config())
    assert same(keras_impl.to_checkpoint(opened), checkpoint)
    images = np.random.default_rng(1).normal(0, 60, (2, 64, 64, 3)).astype(np.float32)
    assert np.array_equal(opened(images), model(images))
    assert np.array_equal(opened.predict(images, verbose=0), model.predict(images, verbose=0))


def subset(ours: Any, theirs: Any, where: str = "config") -> None:
    """Whether every setting of one configuration stands in the other."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            if key == "build_config" and key not in theirs:
                continue  # Keras leaves it out where there is nothing to build
            assert key in theirs, f"{where}.{key}"
            subset(value, theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            subset(one, other, f"{where}[{number}]")
    else:
        assert ours == theirs, where


@pytest.mark.parametrize("include_top", [True, False])
def test_the_configuration_is_what_keras_writes(tmp_path: Path, include_top: bool) -> None:
    network = configuration("tiny", include_top=include_top)
    keras.utils.clear_session()
    keras_impl.functional("tiny", include_top=include_top).save(tmp_path / "w.keras")
    with zipfile.ZipFile(tmp_path / "w.keras") as zipped:
        subset(model_config(network), json.loads(zipped.read("config.json")))


@pytest.mark.full
def test_keras_opens_the_full_size_file(full: Checkpoint, batch: Batch, tmp_path: Path) -> None:
    vgg16_weights.write(full, tmp_path / "w.keras", FORMAT)
    assert same(vgg16_weights.read(tmp_path / "w.keras", FORMAT), full)
    opened = keras.saving.load_model(tmp_path / "w.keras")
    (tmp_path / "w.keras").unlink()  # 0.5 GB
    images = batch(full)[:1].transpose(0, 2, 3, 1)
    outputs = np.array(opened(images))
    del opened
    assert np.array_equal(outputs, model_of(full)(images))


@pytest.mark.slow
def test_keras_opens_the_file_without_this_project(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.keras", FORMAT)
    code = (
        "import sys, keras\n"
        f"model = keras.saving.load_model({str(tmp_path / 'w.keras')!r})\n"
        "assert model.count_params() == 46_036, model.count_params()\n"
        "assert not {'vgg16_spec', 'keras_impl', 'vgg16_weights'} & set(sys.modules)"
    ).replace("46_036", str(tiny.configuration.parameters()))
    subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True)


def groups(weights: bytes) -> dict[str, str]:
    """Every group and array of an HDF5 file, with the name that it states."""
    found: dict[str, str] = {}
    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(lambda where, item: found.update({where: item.attrs.get("name", "")}))
    return found


@pytest.mark.parametrize("include_top", [True, False])
def test_the_members_are_those_that_keras_writes(tmp_path: Path, include_top: bool) -> None:
    checkpoint = generate(configuration("tiny", include_top=include_top))
    vgg16_weights.write(checkpoint, tmp_path / "ours.keras", FORMAT)
    keras.utils.clear_session()  # Keras numbers the inputs of a process's models
    model_of(checkpoint).save(tmp_path / "theirs.keras")
    with (
        zipfile.ZipFile(tmp_path / "ours.keras") as ours,
        zipfile.ZipFile(tmp_path / "theirs.keras") as theirs,
    ):
        assert ours.namelist() == theirs.namelist()
        assert ours.testzip() is None
        about, expected = (json.loads(a.read("metadata.json")) for a in (ours, theirs))
        assert set(about) == set(expected)
        assert groups(ours.read(WEIGHTS)) == groups(theirs.read(WEIGHTS))


def test_the_metadata_and_the_bytes_come_back(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "a.keras", FORMAT)
    read = vgg16_weights.read(tmp_path / "a.keras", FORMAT)
    assert same(read, tiny)
    assert read.metadata == tiny.metadata
    vgg16_weights.write(read, tmp_path / "b.keras", FORMAT)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def test_code_in_the_configuration_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    inputs = keras.Input((64, 64, 3))
    outputs = keras.layers.Lambda(lambda images: images * 2)(inputs)
    lambda_only = tmp_path / "lambda.keras"
    keras.Model(inputs, outputs).save(lambda_only)
    assert "it contains code: Lambda layer 'lambda'" in refusal(FORMAT, lambda_only)
    with zipfile.ZipFile(lambda_only) as zipped:
        config = zipped.read("config.json")
    # With a VGG's weights too, and with its name behind an escape.
    vgg16_weights.write(tiny, tmp_path / "w.keras", FORMAT)
    for text in (config, config.replace(b"Lambda", b"L\\u0061mbda")):
        rezipped(tmp_path / "w.keras", {"config.json": text})
        assert "it contains code" in refusal(FORMAT, tmp_path / "w.keras")


@pytest.mark.parametrize("text", [b"", b" ", b"{", b"\xff"])
def test_a_configuration_that_says_nothing_is_refused(
    tiny: Checkpoint, tmp_path: Path, text: bytes
) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.keras", FORMAT)
    rezipped(tmp_path / "w.keras", {"config.json": text})
    assert "its configuration is not JSON" in refusal(FORMAT, tmp_path / "w.keras")


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "..\\escaped", f"x/../../{WEIGHTS}"])
def test_members_that_lead_out_are_refused(tiny: Checkpoint, tmp_path: Path, name: str) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.keras", FORMAT)
    rezipped(tmp_path / "w.keras", {name: b"x"})
    assert "would be unpacked outside its folder" in refusal(FORMAT, tmp_path / "w.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["w.keras"]


def test_compressed_weights_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.keras", FORMAT)
    rezipped(tmp_path / "w.keras", {}, compression=zipfile.ZIP_DEFLATED)
    problem = "model.weights.h5 is compressed, as in this format it never is"
    assert problem in refusal(FORMAT, tmp_path / "w.keras")


def test_an_archive_without_weights_or_with_two_is_refused(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "w.keras"
    vgg16_weights.write(tiny, path, FORMAT)
    with zipfile.ZipFile(path, "a") as zipped:
        content = zipped.read(WEIGHTS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            zipped.writestr(WEIGHTS, content)
    assert "it has 2 members named model.weights.h5" in refusal(FORMAT, path)
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("config.json", "{}")
    assert "it has 0 members named model.weights.h5" in refusal(FORMAT, path)


def test_links_in_the_weights_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "w.keras"
    vgg16_weights.write(tiny, path, FORMAT)
    with zipfile.ZipFile(path) as zipped:
        zipped.extract(WEIGHTS, tmp_path)
    with h5py.File(tmp_path / WEIGHTS, "r+") as file:
        file.move("layers/dense/vars/0", "elsewhere")
        file["layers/dense/vars/0"] = h5py.SoftLink("/elsewhere")
    rezipped(path, {WEIGHTS: (tmp_path / WEIGHTS).read_bytes()})
    assert "layers/dense/vars/0 is a link" in refusal(FORMAT, path)


def test_one_changed_value_is_noticed(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "w.keras"
    vgg16_weights.write(tiny, path, FORMAT)
    stored = bytearray(path.read_bytes())
    at = len(stored) - 60_000
    stored[at] ^= 1
    path.write_bytes(stored)
    assert "model.weights.h5 is damaged: its checksum does not fit" in refusal(FORMAT, path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(tiny: Checkpoint, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "w.keras"
    vgg16_weights.write(tiny, path, FORMAT)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert ("is truncated" if kept else "is empty") in refusal(FORMAT, path)


@pytest.mark.usefixtures("first_reading")
def test_damaged_files_are_refused_or_hold_the_same(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "w.keras"
    vgg16_weights.write(tiny, path, FORMAT)
    survive_damage(FORMAT, path.read_bytes(), path, seed=3, mutants=100)


def test_a_model_is_told_by_its_members(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "w"
    vgg16_weights.write(tiny, path, FORMAT)
    assert vgg16_weights.detect(path) == FORMAT
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("config.json", "{}")
    with pytest.raises(BadInput, match="not a weights file"):
        vgg16_weights.detect(path)
