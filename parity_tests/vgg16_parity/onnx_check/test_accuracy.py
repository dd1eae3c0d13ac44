"""A file of fewer bits is told as such, with what that costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import export_onnx
from export.session import open_session
from mistakes.in_onnx import change_weight, node_of, remove
from parity_tests.support.graphs.checked import PICTURES, check
from parity_tests.support.tolerances import REPORTED_DECIBELS
from vgg16_parity.network.prediction import predict_logits
from vgg16_parity.onnx_check.accuracy import measure
from vgg16_parity.onnx_check.check import NOT_THE_NETWORK, Numbers
from vgg16_parity.onnx_check.text import lines
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import RECIPES, preprocess, read_image


def batch(checkpoint: Checkpoint) -> np.ndarray:
    recipe = RECIPES[checkpoint.metadata.recipe]
    size = checkpoint.configuration.input_size
    return np.concatenate([preprocess(read_image(path), recipe, size=size) for path in PICTURES])


def ours(precision: str) -> Callable[[Path, Path, Checkpoint], Path]:
    def export(exported: Path, path: Path, tiny: Checkpoint) -> Path:
        pictures = PICTURES if precision == "int8" else []
        options: Any = {"precision": precision, "calibrate": pictures, "test_data": False}
        return export_onnx("keras", tiny, path.parent / "bundle", **options)

    return export


def dynamic(exported: Path, path: Path, tiny: Checkpoint) -> Path:
    from onnxruntime import quantization

    quantization.quantize_dynamic(exported, path, weight_type=quantization.QuantType.QUInt8)
    return path


def operators(exported: Path, path: Path, tiny: Checkpoint) -> Path:
    from onnxruntime import quantization

    pictures = iter([{"images": image[None]} for image in batch(tiny)])
    reader: Any = SimpleNamespace(get_next=lambda: next(pictures, None))
    form = quantization.QuantFormat.QOperator
    quantization.quantize_static(exported, path, reader, quant_format=form)
    return path


def four_bits(exported: Path, path: Path, tiny: Checkpoint) -> Path:
    """Of the dense layers' weights alone."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(exported)
    for name in ("fc1", "fc2", "predictions"):
        node = node_of(model, name)
        change_weight(f"{name}.weight", np.transpose)(model)
        inputs, bias, (result,) = node.input[:2], node.input[2], list(node.output)
        index = list(model.graph.node).index(node)
        model.graph.node.remove(node)
        add = onnx.helper.make_node("Add", [f"{name}_sums", bias], [result], f"{name}_add")
        model.graph.node.insert(index, add)
        sums = onnx.helper.make_node("MatMul", inputs, [f"{name}_sums"], name)
        model.graph.node.insert(index, sums)
    quantizer = MatMulNBitsQuantizer(model, block_size=16, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))
    return path


def half(exported: Path, path: Path, tiny: Checkpoint) -> Path:
    """With images and logits in float16, as ``model.half()`` is exported."""
    model = onnx.load(exported)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, path)
    return path


Made = Callable[[Path, Path, Checkpoint], Path]
KINDS: dict[str, tuple[Made, str, list[str]]] = {
    "our int8": (
        ours("int8"),
        "quantised to int8",
        [
            r"graph: QuantizeLinear .* and \d+ more: rounds to uint8, where the network comp.*",
            r"weights: .*\.weight and 13 more: stored as int8, expected float32",
            r"weights: .*\.bias and 13 more: stored as int32, expected float32",
        ],
    ),
    "our fp16": (
        ours("fp16"),
        "rounded to float16",
        [
            r"graph: Cast images_fp16: rounds to float16, where the network computes in float32",
            r"weights: .* and 29 more: stored as float16",
        ],
    ),
    "images in float16": (half, "rounded to float16", [r"graph: the images are FLOAT16, .*"]),
    "dynamic int8": (
        dynamic,
        "quantised to int8",
        [
            r"graph: DynamicQuantizeLinear .*: computes with quantised weights, which are not .*",
            r"weights: 32 not compared, behind what the graph has there",
        ],
    ),
    "operators of int8": (operators, "quantised to int8", [r"graph: QLinearConv .*: computes .*"]),
    "weights of 4 bits": (
        four_bits,
        "quantised to int4",
        [r"weights: 26 of 32 equal", r"graph: com.microsoft.MatMulNBits .*: computes with .*"],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_bits_are_told_with_their_cost(
    kind: str, exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    make, words, expected = KINDS[kind]
    path = make(exported, tmp_path / "fewer.onnx", tiny)
    report = check(path, tiny)
    said = list(lines(report))
    for line in expected:
        assert any(re.fullmatch(line, found) for found in said), said
    assert all(len(line) <= 300 for line in said)
    assert not report.matches
    assert len(report.graph.problems) == 1  # the layers are the network's
    cost = report.accuracy
    assert cost is not None
    images = batch(tiny)
    right, found = predict_logits(tiny, images)[0], _logits(path, images)
    noise = 10 * np.log10(np.square(right).sum() / np.square(right - found).sum())
    assert cost.sqnr_db is not None
    assert abs(cost.sqnr_db - noise) <= REPORTED_DECIBELS.limit
    same = int(np.sum(right.argmax(axis=1) == found.argmax(axis=1)))
    assert (cost.top1_agrees, cost.pictures) == (same, 2)
    assert said[-2] == (
        f"{words}: SQNR {cost.sqnr_db:.1f} dB, top-1 agrees on {same} of 2 pictures; "
        "not the checkpoint's weights"
    )


def _logits(path: Path, images: np.ndarray) -> np.ndarray:
    session = open_session(path)
    (feed,) = session.get_inputs()
    given = images.astype(np.float16) if "float16" in feed.type else images
    # One by one: dynamic quantisation takes its scale from the batch.
    rows = [session.run(None, {feed.name: image[None]})[0] for image in given]
    return np.concatenate(rows).astype(np.float64)


def test_a_float32_file_has_no_such_line(exported: Path, tiny: Checkpoint) -> None:
    report = check(exported, tiny)
    assert report.accuracy is None
    assert not any("SQNR" in line for line in lines(report))


@pytest.mark.parametrize("make", [half, four_bits], ids=["float16", "4 bits"])
def test_fewer_bits_of_another_network_are_not_run(
    make: Made, exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = make(exported, tmp_path / "fewer.onnx", tiny)
    model = onnx.load(path)
    remove(model, "block2_conv1_relu")
    onnx.save(model, path)
    report = check(path, tiny)
    assert report.numbers == Numbers(None, NOT_THE_NETWORK, passed=False)
    assert report.accuracy is None


def test_outputs_that_are_not_finite_have_no_ratio() -> None:
    expected = np.array([[1.0, 2.0], [4.0, 3.0]])
    cost = measure("float16", np.array([[1.0, 3.0], [np.nan, 0.0]]), expected)
    assert cost.sqnr_db is None
    exact = measure("float16", expected, expected)
    assert (exact.sqnr_db, exact.top1_agrees) == (None, 2)
