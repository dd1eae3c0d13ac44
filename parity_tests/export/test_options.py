"""Every option of the export is run, not only written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from export import export_onnx
from export.graph.opset import newest_opset
from export.options import OptionKeywords, Options
from onnx_arbiter.compare import compare_with_arbiter
from parity_tests.support.graphs.exports import (
    Export,
    noise,
    remembered_traces,
    run,
    structure,
)
from parity_tests.support.helpers import assert_taps_hold, judge_logits, judge_probabilities
from parity_tests.support.tolerances import RESIZED_PIXELS
from vgg16_parity.network import reference
from vgg16_parity.network.prediction import predict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, normalise, pixels, read_image


@pytest.fixture(scope="module")
def export(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    folder = tmp_path_factory.mktemp("options")

    def written(checkpoint: Checkpoint = tiny, **options: Any) -> Path:
        return export_onnx("keras", checkpoint, folder / "model.onnx", **options)

    with remembered_traces():
        yield written


@pytest.mark.parametrize("opset", range(13, newest_opset() + 1))
def test_every_opset_runs(export: Export, tiny: Checkpoint, opset: int) -> None:
    model = export(opset=opset)
    (imported,) = structure(model).opset_import
    assert imported.version == opset
    batch = noise(tiny, 2)
    assert judge_logits(run(model, batch)["logits"], tiny, batch).passed


def test_the_file_format_is_the_oldest_that_has_the_opset(export: Export) -> None:
    assert [structure(export(opset=opset)).ir_version for opset in (13, 18, 19)] == [7, 8, 9]


@pytest.mark.parametrize("opset", [12, 0, newest_opset() + 1, 99])
def test_an_opset_out_of_range_is_refused(export: Export, opset: int) -> None:
    with pytest.raises(BadInput, match=rf"--opset: is {opset}; expected 13"):
        export(opset=opset)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_a_fixed_batch_takes_that_many_images_and_no_other(
    export: Export, tiny: Checkpoint, images: int
) -> None:
    model = export(batch=images)
    batch = noise(tiny, images)
    assert judge_logits(run(model, batch)["logits"], tiny, batch).passed
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        run(model, noise(tiny, images + 1))


def test_channels_last_images_give_the_same_logits(export: Export, tiny: Checkpoint) -> None:
    batch = noise(tiny, 2)
    expected = run(export(), batch)["logits"]
    found = run(export(layout="nhwc"), batch.transpose(0, 2, 3, 1))["logits"]
    assert found.tobytes() == expected.tobytes()


def test_probabilities_are_the_softmax_of_the_arbiters_logits(
    export: Export, tiny: Checkpoint
) -> None:
    batch = noise(tiny, 2)
    outputs = run(export(output="probabilities"), batch)
    assert list(outputs) == ["probabilities"]
    found = judge_probabilities(outputs["probabilities"], tiny, batch)
    assert found.passed, found.reason


@pytest.mark.parametrize("side", [64, 70, 95])
def test_features_take_images_of_any_size(export: Export, tiny: Checkpoint, side: int) -> None:
    batch = noise(tiny, 2, side=side)[..., : side - 5]
    *_, last = predict(tiny.without_top(), batch)
    (found,) = run(export(features=True), batch).values()
    assert found.shape == (2, 12, side // 32, (side - 5) // 32)
    verdict = compare_with_arbiter(
        found, last.preactivation, last.accumulated["float32"], relu=True
    )
    assert verdict.passed, verdict.reason


def test_features_of_a_checkpoint_without_classifier_are_the_same_file(
    export: Export, tiny: Checkpoint
) -> None:
    with_classifier = export(features=True).read_bytes()
    assert export(tiny.without_top(), features=True).read_bytes() == with_classifier
    assert b"fc1" not in with_classifier


def test_every_tap_is_an_output_and_agrees_with_the_arbiter(
    export: Export, tiny: Checkpoint
) -> None:
    batch = noise(tiny, 2)
    outputs = run(export(taps=True), batch)
    assert list(outputs)[-1] == "logits"
    outputs["predictions"] = outputs.pop("logits")
    assert_taps_hold(tiny, batch, outputs)


def test_taps_go_with_every_other_end(export: Export, tiny: Checkpoint) -> None:
    network = list(reference.run_with_taps(tiny, noise(tiny, 1)))[:-1]
    model = export(taps=True, input="uint8", output="probabilities")
    names = [output.name for output in structure(model).graph.output]
    assert names == [*network, "logits", "probabilities"]
    names = [output.name for output in structure(export(taps=True, features=True)).graph.output]
    assert names == [*network[: network.index("block5_pool")], "features"]


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_raw_pixels_are_prepared_in_the_graph_to_the_bit(
    export: Export, tiny: Checkpoint, recipe: str
) -> None:
    checkpoint = tiny.with_recipe(recipe)
    shape = (2, 64, 64, 3)
    raw = np.random.default_rng(7).integers(0, 256, shape, np.uint8)
    prepared = normalise(raw, RECIPES[recipe])
    model = onnx.load(export(checkpoint, input="uint8"))
    model.graph.output.append(onnx.ValueInfoProto(name="images_nchw"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    logits, images = session.run(["logits", "images_nchw"], {"images": raw})
    assert images.tobytes() == prepared.tobytes()
    assert judge_logits(logits, checkpoint, prepared).passed


def test_a_checkpoint_with_another_recipe_has_another_graph(
    export: Export, tiny: Checkpoint
) -> None:
    def operators(recipe: str) -> list[str]:
        model = structure(export(tiny.with_recipe(recipe), input="uint8"))
        return [node.op_type for node in model.graph.node[:6]]

    assert operators("torchvision") == ["Cast", "Div", "Sub", "Div", "Transpose", "Conv"]
    assert operators("caffe") == ["Cast", "Gather", "Sub", "Transpose", "Conv", "Relu"]


def cropped(model: Path, picture: Image.Image) -> np.ndarray:
    """What the graph resizes and crops a picture to, (1, side, side, 3)."""
    proto = onnx.load(model)
    proto.graph.output.append(onnx.ValueInfoProto(name="pixels_cropped"))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (found,) = session.run(["pixels_cropped"], {"images": np.asarray(picture)[np.newaxis]})
    return np.asarray(found)


@pytest.mark.parametrize("size", [(64, 64), (73, 80), (75, 74), (50, 61), (333, 100), (99, 301)])
def test_pictures_are_resized_to_the_recipes_pixels(export: Export, size: tuple[int, int]) -> None:
    recipe = RECIPES["torchvision"]
    noisy = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), np.uint8)
    model = export(input="uint8", resize=True)
    for picture in (Image.fromarray(noisy), read_image(PHOTOGRAPHS[0].path).resize(size)):
        expected = pixels(picture, recipe, size=64)
        found = cropped(model, picture)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= RESIZED_PIXELS.limit


def test_a_crop_that_is_off_by_one_pixel_would_be_seen(export: Export) -> None:
    picture = read_image(PHOTOGRAPHS[0].path)
    expected = pixels(picture, RECIPES["torchvision"], size=64)
    moved = np.roll(cropped(export(input="uint8", resize=True), picture), 1, axis=2)
    assert np.abs(moved.astype(int) - expected).max() > 20 * RESIZED_PIXELS.limit


def test_the_keywords_of_an_export_are_the_fields_of_its_options() -> None:
    assert get_type_hints(OptionKeywords) == get_type_hints(Options)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "layout": (
        {"layout": "nchw", "input": "uint8"},
        "--layout nchw: cannot be combined with --input uint8",
    ),
    "resize": ({"resize": True}, "--resize: needs --input uint8"),
    "old resize": (
        {"resize": True, "input": "uint8", "opset": 17},
        "--resize: needs opset 18, the oldest that resizes with antialiasing; expected --opset 18",
    ),
    "probable features": (
        {"features": True, "output": "probabilities"},
        "--output probabilities: cannot be combined with --features",
    ),
    "resized features": (
        {"features": True, "input": "uint8", "resize": True},
        "--resize: cannot be combined with --features",
    ),
    "int8 features": (
        {"features": True, "precision": "int8", "calibrate": [Path("x")]},
        "--precision int8: cannot be combined with --features",
    ),
    "int8 taps": (
        {"taps": True, "precision": "int8", "calibrate": [Path("x")]},
        "--taps: cannot be combined with --precision int8",
    ),
    "uncalibrated": ({"precision": "int8"}, "--precision int8: needs pictures; expected --calibr"),
    "calibrated": ({"calibrate": [Path("x")]}, "--calibrate: is for --precision int8"),
    "shared fp16": (
        {"weights_file": "shared", "precision": "fp16"},
        "--weights-file shared: cannot be combined with --precision fp16",
    ),
    "one file of fp16": (
        {"precision": "fp16"},
        "--precision fp16: needs a folder, not model.onnx: its accuracy record goes with it",
    ),
    "no batch": ({"batch": 0}, "--batch: is 0; expected dynamic, or 1 to 1024"),
    "output": ({"output": "loss"}, "--output: 'loss' is unknown; expected one of logits, prob"),
    "input": ({"input": "bfloat16"}, "--input: 'bfloat16' is unknown; expected one of float32"),
    "precision": ({"precision": "int4"}, "--precision: 'int4' is unknown; expected one of fp32"),
    "weights file": (
        {"weights_file": "elsewhere"},
        "--weights-file: 'elsewhere' is unknown; expected one of shared, separate, embedded",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_options_that_cannot_be_met_are_refused_before_anything_is_traced(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from export.trace import from_keras

    monkeypatch.delattr(from_keras, "trace")
    options, message = REFUSED[kind]
    with pytest.raises(BadInput) as refusal:
        export_onnx("keras", tiny, tmp_path / "model.onnx", **options)
    assert str(refusal.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
