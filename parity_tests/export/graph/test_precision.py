"""Fewer bits: what is written, what it costs, and that the record tells the truth about both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export import MODEL_FILE, VERSION, WEIGHTS_FILE, export_onnx
from export.weights.link import weight_tensor
from parity_tests.support.graphs.exports import remembered_traces, run, structure
from parity_tests.support.helpers import PICTURES, Batch, Command
from parity_tests.support.tolerances import (
    FLOAT16_SQNR,
    INT8_SQNR,
    REPORTED_DECIBELS,
    REPORTED_DIFFERENCE,
)
from vgg16_parity.network import reference
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.logits import top

OPTIONS: dict[str, dict[str, Any]] = {
    "fp16": {"precision": "fp16"},
    "int8": {"precision": "int8", "calibrate": PICTURES},
}
FLOOR = {"fp16": FLOAT16_SQNR, "int8": INT8_SQNR}


@pytest.fixture(autouse=True, scope="module")
def once() -> Iterator[None]:
    with remembered_traces():
        yield


@pytest.fixture(scope="module", params=list(OPTIONS))
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bundle(tiny: Checkpoint, precision: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("precision") / precision
    export_onnx("keras", tiny, folder, **OPTIONS[precision])
    return folder


@pytest.fixture(scope="module")
def record(bundle: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((bundle / "accuracy.json").read_text(encoding="utf-8"))
    return document


def test_the_weights_have_fewer_bits(bundle: Path, precision: str, tiny: Checkpoint) -> None:
    kind = {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[precision]
    model = structure(bundle / MODEL_FILE)
    weights = [tensor for tensor in model.graph.initializer if tensor.data_type == kind]
    names = {tensor.name.removesuffix("_quantized") for tensor in weights}
    assert {name for name in tiny if name.endswith(".weight")} <= names
    share = {"fp16": 0.5, "int8": 0.25}[precision]
    size = (bundle / VERSION / WEIGHTS_FILE).stat().st_size
    values = 4 * tiny.configuration.parameters()
    assert share <= size / values <= share + 0.15  # the rest: headers, scales, int32 biases


def test_images_and_logits_stay_float32(bundle: Path) -> None:
    graph = structure(bundle / MODEL_FILE).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_the_record_is_what_the_arbiter_finds(
    bundle: Path, record: dict[str, Any], precision: str, tiny: Checkpoint, batch: Batch
) -> None:
    images = batch(tiny)
    expected = reference.run_with_taps(tiny, images)["predictions"]
    found = run(bundle / MODEL_FILE, images)["logits"]
    signal, noise = np.square(expected).sum(), np.square(found - expected).sum()
    # float32's own error is thousands of times smaller than either precision's.
    assert record["sqnr_db"]["logits"] == pytest.approx(
        10 * np.log10(signal / noise), abs=REPORTED_DECIBELS.limit
    )
    assert [image["image"] for image in record["images"]] == [path.name for path in PICTURES]
    for index, image in enumerate(record["images"]):
        error = np.abs(found[index] - expected[index]).max()
        assert image["largest_error"] == pytest.approx(error, abs=REPORTED_DIFFERENCE.limit)
        first, second = np.sort(expected[index])[:-3:-1]
        assert image["margin"] == pytest.approx(first - second, abs=REPORTED_DIFFERENCE.limit)
        agrees = top(found, 1)[index] == top(expected, 1)[index]
        assert image["top1_agrees"] == bool(agrees.all())
        assert image["top5_agrees"] == (
            set(top(found, 5)[index].tolist()) == set(top(expected, 5)[index].tolist())
        )
    assert record["bytes"]["fp32"] == 4 * tiny.configuration.parameters()
    assert record["precision"] == precision
    assert record["speed_up"] > 0


def test_every_layer_is_in_the_record_and_has_the_precisions_own_noise(
    record: dict[str, Any], precision: str, tiny: Checkpoint
) -> None:
    layers = list(record["sqnr_db"])
    assert layers == [*tiny.configuration.taps[:-1], "logits"]
    low = {
        name: ratio for name, ratio in record["sqnr_db"].items() if ratio < FLOOR[precision].limit
    }
    assert low == {}


def test_a_wrong_scale_shows_in_the_layer_that_has_it(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scaled(checkpoint: Checkpoint, name: str, dtype: ir.DataType) -> ir.TensorProtocol:
        if name == "block3_conv2.weight":
            checkpoint = changed(checkpoint, name, 1.05)
        return weight_tensor(checkpoint, name, dtype)

    monkeypatch.setattr("export.graph.precision.weight_tensor", scaled)
    export_onnx("keras", tiny, tmp_path / "out", precision="fp16")
    ratios = json.loads((tmp_path / "out" / "accuracy.json").read_text())["sqnr_db"]
    layers = list(ratios)
    wrong = layers.index("block3_conv2")
    assert min(ratios[name] for name in layers[:wrong]) > FLOAT16_SQNR.limit
    assert max(ratios[name] for name in layers[wrong:]) < FLOAT16_SQNR.limit


def changed(tiny: Checkpoint, name: str, factor: float) -> Checkpoint:
    return tiny.with_tensors({name: tiny[name] * np.float32(factor)})


def test_weights_that_float16_cannot_hold_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    large = changed(tiny, "block2_conv1.weight", 1e6)
    with pytest.raises(
        BadInput, match=r"beyond float16's 65504: block2_conv1.weight; expected --p"
    ):
        export_onnx("keras", large, tmp_path / "out", precision="fp16")
    assert list(tmp_path.iterdir()) == []


def test_activations_that_float16_cannot_hold_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    large = changed(tiny, "block2_conv1.weight", 1e5)
    with pytest.raises(BadInput, match=r"--precision fp16: overflows in block2_conv1"):
        export_onnx("keras", large, tmp_path / "out", precision="fp16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "onnxruntime: is not installed; expected pip install"),
        ({"precision": "fp16"}, "onnxruntime: is not installed; expected pip install"),
        (OPTIONS["int8"], "--precision int8: needs ONNX Runtime's quantizer; expected pip install"),
    ],
)
def test_without_onnx_runtime_the_error_is_the_remedy(
    tiny: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BadInput, match=message):
        export_onnx("keras", tiny, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []
    # Nothing that only an execution gives.
    export_onnx("keras", tiny, tmp_path / "out", test_data=False)


def test_a_picture_that_cannot_be_read_is_refused(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    arguments = ["export", "--framework", "keras", "--weights", tiny.file, "--precision", "int8"]
    arguments += ["--out", tmp_path / "out", "--calibrate", pictures]
    assert vgg16(*arguments).err.endswith(
        f"{pictures}: holds no file; expected a folder of pictures\n"
    )
    (pictures / "notes.txt").write_text("no picture")
    done = vgg16(*arguments)
    assert done.status == 2
    assert f"{pictures / 'notes.txt'}: not a picture" in done.err
    assert not (tmp_path / "out").exists()
    missing = vgg16(*arguments[:-1], tmp_path / "nowhere")
    assert missing.status == 2
    assert "nowhere: is not a folder; expected a folder of pictures" in missing.err


def test_int8_is_chosen_on_the_pictures_of_the_folder(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    def scale(picture: Path) -> float:
        folder = tmp_path / picture.stem
        folder.mkdir()
        (folder / picture.name).write_bytes(picture.read_bytes())
        out = tmp_path / f"{picture.stem}-out"
        done = vgg16(
            *("export", "--framework", "keras", "--weights", tiny.file, "--out", out),
            *("--precision", "int8", "--calibrate", folder),
        )
        assert done.status == 0, done.err
        assert "calibrate on 1 of 1 picture (folders: 1)" in done.err
        assert "top-1" in done.out
        tensors = {tensor.name: tensor for tensor in structure(out / MODEL_FILE).graph.initializer}
        return float(onnx.numpy_helper.to_array(tensors["logits_scale"]))

    first, second = map(scale, PICTURES)
    assert first != second
