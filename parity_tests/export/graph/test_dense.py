"""The exported network applied densely: one graph from both frameworks, right at any size."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest

from export import export_onnx
from export.graph.dense import apply_densely
from export.trace import canonical_graph
from parity_tests.support.dense import LARGER, assert_dense_holds, noise_of_size
from parity_tests.support.graphs.checked import PICTURES
from parity_tests.support.graphs.exports import Export, remembered_traces, run, structure
from parity_tests.support.graphs.graphs import parsed
from parity_tests.support.helpers import same
from parity_tests.support.tolerances import FLOAT32_TAPS
from vgg16_parity.network import reference
from vgg16_parity.onnx_check.check import check_model
from vgg16_parity.onnx_check.source import checkpoint_of_onnx
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import normalise
from vgg16_spec.logits import softmax

LAYERS: Final = Counter(
    {"Conv": 16, "Relu": 15, "MaxPool": 5, "GlobalAveragePool": 1, "Flatten": 1}
)


@pytest.fixture(scope="module")
def export(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    folder = tmp_path_factory.mktemp("dense")

    def written(out: str = "model.onnx", **options: Any) -> Path:
        return export_onnx("keras", tiny, folder / out, **{"dense": True} | options)

    with remembered_traces():
        yield written


def test_keras_and_pytorch_give_the_same_file(
    export: Export, tiny: Checkpoint, tmp_path: Path
) -> None:
    from_torch = export_onnx("torch", tiny, tmp_path / "model.onnx", dense=True)
    assert from_torch.read_bytes() == export().read_bytes()
    nodes = structure(from_torch).graph.node
    assert Counter(node.op_type for node in nodes) == LAYERS
    last = ["fc2", "fc2_relu", "predictions", "predictions_mean", "flatten"]
    assert [node.name for node in nodes[-len(last) :]] == last


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("larger", [(0, 0), *LARGER])
def test_it_holds_at_any_size(
    export: Export, tiny: Checkpoint, larger: tuple[int, int], images: int
) -> None:
    batch = noise_of_size(tiny, larger, images)
    outputs = run(export(), batch)
    assert list(outputs) == ["logits"]
    assert_dense_holds(outputs["logits"], tiny, batch)


def test_weights_are_the_checkpoints_bytes_in_another_shape(export: Export) -> None:
    plain, dense = (structure(export(f"bundle{dense}", dense=dense)) for dense in (False, True))
    shapes = {}
    for ours, theirs in zip(dense.graph.initializer, plain.graph.initializer, strict=True):
        assert ours.name == theirs.name
        assert ours.external_data == theirs.external_data
        if ours.dims != theirs.dims:
            shapes[ours.name] = tuple(ours.dims)
    assert shapes == {
        "fc1.weight": (32, 12, 2, 2),
        "fc2.weight": (32, 32, 1, 1),
        "predictions.weight": (1000, 32, 1, 1),
    }


@pytest.mark.parametrize("opset", [13, 22])
def test_it_holds_in_other_opsets(export: Export, tiny: Checkpoint, opset: int) -> None:
    batch = noise_of_size(tiny, LARGER[1])
    assert_dense_holds(run(export(opset=opset), batch)["logits"], tiny, batch)


def test_every_tap_is_an_output_and_the_scores_are_a_map(export: Export, tiny: Checkpoint) -> None:
    batch = noise_of_size(tiny, LARGER[2])
    outputs = run(export(taps=True), batch)
    assert tuple(outputs) == (*tiny.configuration.taps, "logits")
    for tap in reference.walk(tiny, batch, dense=True):
        assert outputs[tap.tap].shape == tap.values.shape, tap.tap
    scores = outputs["predictions"].mean((2, 3), dtype=np.float64)
    assert_dense_holds(scores.astype(np.float32), tiny, batch)
    assert_dense_holds(outputs["logits"], tiny, batch)


def test_raw_pixels_of_any_size_are_preprocessed(export: Export, tiny: Checkpoint) -> None:
    model = export(input="uint8", output="probabilities")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 99, 141, 3), np.uint8)
    found = run(model, pixels)["probabilities"]
    given = normalise(pixels, tiny.recipe)
    assert_dense_holds(run(export(), given)["logits"], tiny, given)
    expected = softmax(run(export(), given)["logits"])
    assert np.array_equal(found.argmax(1), expected.argmax(1))
    assert np.abs(found - expected).max() <= FLOAT32_TAPS.limit * expected.max()


def test_a_fixed_batch_and_channels_last_images(export: Export, tiny: Checkpoint) -> None:
    batch = noise_of_size(tiny, LARGER[1], 2)
    model = export(batch=2, layout="nhwc")
    (images,) = structure(model).graph.input
    shape = [size.dim_param or size.dim_value for size in images.type.tensor_type.shape.dim]
    assert shape == [2, "height", "width", 3]
    assert_dense_holds(run(model, batch.transpose(0, 2, 3, 1))["logits"], tiny, batch)


def test_half_precision_holds_and_its_record_has_the_map_of_scores(
    export: Export, tiny: Checkpoint
) -> None:
    model = export("half", precision="fp16")
    batch = noise_of_size(tiny, LARGER[1])
    assert_dense_holds(run(model, batch)["logits"], tiny, batch, "float16")
    record = json.loads((model.parent / "accuracy.json").read_text())
    assert list(record["sqnr_db"]) == [*tiny.configuration.taps, "logits"]
    assert record["bytes"] == {"fp32": 4 * 45_460, "fp16": 2 * 45_460}


def test_a_bundle_says_that_the_network_is_applied_densely(export: Export) -> None:
    folder = export("stated").parent
    assert structure(folder / "model.onnx").metadata_props
    stated = {entry.key: entry.value for entry in structure(folder / "model.onnx").metadata_props}
    assert stated["dense"] == "true"
    assert "keep all of it" in (folder / "README.md").read_text()
    assert "dims: [ 3, -1, -1 ]" in (folder / "config.pbtxt").read_text()
    given = onnx.load_tensor(folder / "test_data_set_0" / "input_0.pb")
    assert tuple(given.dims)[2:] != CONFIGURATIONS["tiny"].input_shape[1:]
    plain = export("plain", dense=False)
    assert "dense" not in {entry.key for entry in structure(plain).metadata_props}


@pytest.mark.parametrize("options", [{}, {"input": "uint8"}, {"output": "probabilities"}])
def test_the_check_accepts_it(export: Export, tiny: Checkpoint, options: dict[str, Any]) -> None:
    report = check_model(export(**options), tiny, PICTURES)
    assert report.matches, report


def test_its_weights_are_read_as_the_checkpoint(export: Export, tiny: Checkpoint) -> None:
    assert same(checkpoint_of_onnx(export()), tiny)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": True}, "--dense: cannot be combined with --features; expected one of the"),
        ({"input": "uint8", "resize": True}, "--resize: cannot be combined with --dense"),
        (
            {"precision": "int8", "calibrate": PICTURES},
            "--precision int8: cannot be combined with --dense",
        ),
    ],
)
def test_combinations_that_make_no_sense_are_refused(
    export: Export, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        export("refused", **options)


def test_a_checkpoint_without_classifier_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no classifier"):
        export_onnx("torch", tiny.without_top(), tmp_path / "model.onnx", dense=True)


def test_a_graph_that_cannot_be_applied_densely_is_refused() -> None:
    features = canonical_graph("torch", CONFIGURATIONS["tiny"].with_head(include_top=False))
    with pytest.raises(ValueError, match="has no classifier"):
        apply_densely(features)
    signature = "(float[N, 3, 4, 4] x, float[5, 48] w) => (float[N, 5] y)"
    body = "f = Flatten <axis = 1> (x) r = Relu(f) y = Gemm <transB = 1> (r, w)"
    with pytest.raises(ValueError, match="does not read the last maps"):
        apply_densely(parsed(signature, body))
