"""The authors' own Caffe file, in both forms of its layers, built by the protobuf library."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vgg16_weights
from onnx_arbiter.compare import compare_with_arbiter
from parity_tests.support.graphs.exports import noise
from parity_tests.support.helpers import same
from parity_tests.support.weights.caffe_files import net, prototxt, schema
from vgg16_parity.network.prediction import predict_logits
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_weights import formats
from vgg16_weights.legacy.caffemodel import begins_a_network

FORMAT = "caffemodel"

# pip install --no-deps --target build/opencv4 "opencv-python-headless<5"
OPENCV_4 = Path(__file__).parents[3] / "build" / "opencv4"
OPENCV = """
import sys
import cv2
import numpy
structure, weights, images, logits = sys.argv[1:]
network = cv2.dnn.readNetFromCaffe(structure, weights)
# Winograd's transforms cost a few bits, which the arbiter sees: 3 to 4 times the prediction.
network.enableWinograd(False)
network.setInput(numpy.load(images))
numpy.save(logits, network.forward())
"""

FORMS = pytest.mark.parametrize("v1", [True, False], ids=["V1LayerParameter", "LayerParameter"])


def saved(message: Any, path: Path) -> Path:
    path.write_bytes(message.SerializeToString())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as error:
        vgg16_weights.read(path, FORMAT)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


@FORMS
@pytest.mark.parametrize("classes", [1000, 7])
def test_both_forms_of_the_layers_are_read(tmp_path: Path, v1: bool, classes: int) -> None:
    tiny = generate(configuration("tiny", classes=classes))
    path = saved(net(tiny, v1=v1), tmp_path / "w.caffemodel")
    read = vgg16_weights.read(path, FORMAT)
    assert same(read, tiny)
    assert read.metadata.recipe == "caffe"
    assert read.metadata.source_format == "caffemodel"
    assert read.metadata.source_sha256 == digest(path)


@pytest.mark.slow
@FORMS
@pytest.mark.parametrize("name", ["A", "C"])
def test_other_columns_are_recognised(tmp_path: Path, v1: bool, name: str) -> None:
    features = generate(configuration(name, include_top=False))
    read = vgg16_weights.read(saved(net(features, v1=v1), tmp_path / "w.caffemodel"), FORMAT)
    assert read.configuration == features.configuration
    assert same(read, features)


@FORMS
def test_layers_are_found_by_name_not_by_order(tiny: Checkpoint, tmp_path: Path, v1: bool) -> None:
    layers = [layer.name for layer in tiny.configuration.weighted_layers]
    shuffled = [layers[index] for index in np.random.default_rng(3).permutation(len(layers))]
    path = saved(net(tiny, v1=v1, layers=shuffled), tmp_path / "w.caffemodel")
    assert same(vgg16_weights.read(path, FORMAT), tiny)


@FORMS
@pytest.mark.parametrize("batch", [1, 2])
def test_opencv_computes_the_same_network_from_the_file(
    tiny: Checkpoint, tmp_path: Path, v1: bool, batch: int
) -> None:
    if not (OPENCV_4 / "cv2").is_dir():
        pytest.skip(reason="OpenCV 5 has no Caffe importer, and 4 is not in build/opencv4")
    path = saved(net(tiny, v1=v1), tmp_path / "w.caffemodel")
    (tmp_path / "net.prototxt").write_text(prototxt(tiny, batch))
    images = noise(tiny, batch)
    np.save(tmp_path / "images.npy", images)
    files = (tmp_path / "net.prototxt", path, tmp_path / "images.npy", tmp_path / "logits.npy")
    subprocess.run(
        [sys.executable, "-c", OPENCV, *files],
        env=os.environ | {"PYTHONPATH": str(OPENCV_4)},
        check=True,
        capture_output=True,
    )
    logits, deviation = predict_logits(vgg16_weights.read(path, FORMAT), images)
    verdict = compare_with_arbiter(np.load(tmp_path / "logits.npy"), logits, deviation)
    assert verdict.passed, verdict.reason


@FORMS
def test_every_problem_stands_in_one_error(tiny: Checkpoint, tmp_path: Path, v1: bool) -> None:
    message = net(tiny, v1=v1)
    layers = {layer.name: layer for layer in (message.layers if v1 else message.layer)}
    del layers["fc7"].blobs[1]
    layers["relu_without_blobs"].blobs.add().CopyFrom(layers["fc8"].blobs[1])
    layers["conv1_2"].blobs.add().CopyFrom(layers["fc8"].blobs[1])
    problems = refusal(saved(message, tmp_path / "w.caffemodel"))
    assert "missing: fc2.bias" in problems
    assert "unexpected: conv1_2.blob 2, relu_without_blobs.weight;" in problems


STRANGE = {
    "a layer twice": r"holds conv1_2.weight twice",
    "too few values": r"conv1_2.bias is \(4,\) but has 12 bytes of values",
    "a negative size": r"conv1_2.bias is \(-4,\) but has 16 bytes",
    "two negative sizes": r"conv1_2.weight is \(-4, -4, 3, 3\) but has 576 bytes",
    "no size": r"conv1_2.bias is \(\) but has 16 bytes",
    "no values": r"the values of conv1_2.bias are not in one piece",
    "the oldest form": r"is in Caffe's form from before V1LayerParameter",
    "a name that is not text": r"cannot be used",
    "no layers": r"holds no tensors",
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_files_are_refused(tiny: Checkpoint, tmp_path: Path, kind: str) -> None:
    message = net(tiny, v1=kind == "the oldest form")
    layer = message.layer[2] if message.layer else message.layers[2]
    match kind:
        case "a layer twice":
            message.layer.add().CopyFrom(layer)
        case "too few values":
            del layer.blobs[1].data[-1:]
        case "a negative size":
            layer.blobs[1].shape.dim[:] = [-4]
        case "two negative sizes":
            layer.blobs[0].shape.dim[:2] = [-4, -4]
        case "no size":
            layer.blobs[1].shape.dim[:] = []
        case "no values":
            del layer.blobs[1].data[:]
        case "the oldest form":
            layer.layer.name = "conv1_2"
        case "no layers":
            message.ClearField("layer")
    path = saved(message, tmp_path / "w.caffemodel")
    if kind == "a name that is not text":
        path.write_bytes(path.read_bytes().replace(b"\x0a\x07conv1_2", b"\x08\x07conv1_2"))
    with pytest.raises(BadInput, match=STRANGE[kind]):
        vgg16_weights.read(path, FORMAT)


def test_values_in_several_pieces_are_refused(tmp_path: Path) -> None:
    blob = schema()["BlobProto"](data=[1, 2])
    blob.shape.dim.extend([4])
    # Two lists of one field: protobuf joins them.
    twice = blob.SerializeToString() + schema()["BlobProto"](data=[3, 4]).SerializeToString()
    layer = b"\x0a\x07conv1_1" + b"\x3a" + bytes([len(twice)]) + twice
    (tmp_path / "w").write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    assert "the values of conv1_1.weight are not in one piece" in refusal(tmp_path / "w")


@pytest.mark.parametrize("kept", [0.0, 0.0001, 0.01, 0.5, 0.9999])
def test_truncated_files_are_refused(tiny: Checkpoint, tmp_path: Path, kept: float) -> None:
    path = saved(net(tiny, v1=True), tmp_path / "w")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert ("cannot be used (" if kept else "is empty") in refusal(path)


def test_a_file_of_countless_fields_is_refused(tmp_path: Path) -> None:
    for field in (b"\x08\x01", b"\x12\x00"):
        (tmp_path / "w").write_bytes(field * 200_000)
        assert "more than 100000 fields" in refusal(tmp_path / "w")


def test_a_blob_of_countless_axes_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    message = net(tiny, v1=False)
    message.layer[2].blobs[1].shape.dim[:] = [1] * 200_000
    assert "conv1_2.bias is (1,) but has 16 bytes" in refusal(
        saved(message, tmp_path / "w.caffemodel")
    )


@pytest.mark.parametrize(
    "before",
    [b"", b"\x0a\x00", b"\x0a\x03VGG\x1a\x04data\x20\x01\x28\x01", b"\x0a\x81\x01" + 129 * b"n"],
    ids=["nothing", "an empty name", "inputs", "a long name"],
)
def test_what_may_precede_the_layers_is_recognised(tmp_path: Path, before: bytes) -> None:
    assert begins_a_network(before + b"\xa2\x06\x09\x0a\x07conv1_1")


def test_damaged_files_are_refused_or_are_whole_checkpoints(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    whole = saved(net(tiny, v1=False), tmp_path / "w").read_bytes()
    random = np.random.default_rng(5)
    headers = [m for m in range(len(whole)) if whole[m : m + 4] == b"conv" or whole[m] == 0xA2]
    for _ in range(300):
        damaged = bytearray(whole)
        at = int(random.choice(headers)) + int(random.integers(-8, 40))
        damaged[at % len(whole)] = int(random.integers(256))
        (tmp_path / "w").write_bytes(damaged)
        with suppress(BadInput):
            read = vgg16_weights.read(tmp_path / "w", FORMAT)
            assert {name: read[name].shape for name in read} == tiny.configuration.weight_shapes


def test_a_caffemodel_is_told_by_how_it_begins(tiny: Checkpoint, tmp_path: Path) -> None:
    for v1 in (True, False):
        path = saved(net(tiny, v1=v1), tmp_path / "w")
        assert vgg16_weights.detect(path) == FORMAT
    others = (
        b"",
        b"\x80\x02",
        b"PK\x03\x04",
        b"\x89HDF\r\n\x1a\n",
        b"MATLAB 5.0",
        b"\x0a\x05hello",
    )
    # An ONNX file: its version, its producer, a graph.
    for start in (*others, b"\x08\x0a\x12\x07pytorch\x3a\x80\x01", bytes(range(256)) * 4):
        assert not begins_a_network(start)


def test_reading_imports_no_framework(tiny: Checkpoint, tmp_path: Path) -> None:
    path = saved(net(tiny, v1=True), tmp_path / "w")
    code = (
        "import sys, vgg16_weights\n"
        f"vgg16_weights.read({str(path)!r}, {FORMAT!r})['fc1.weight']\n"
        "assert not {'keras', 'tensorflow', 'torch', 'jax', 'onnx', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_protobuf_the_error_says_what_to_install(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(net(tiny, v1=True), tmp_path / "w")
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    assert refusal(path).endswith(
        'needs protobuf, which is not installed; expected pip install "vgg16-parity[formats]"'
    )
