"""An export prepares pictures by a recipe of one's own, and names one's own classes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

from export import export_onnx
from parity_tests.support.graphs.exports import remembered_traces, structure
from parity_tests.support.helpers import judge_logits
from parity_tests.support.recipes import OWN
from parity_tests.support.tolerances import RESIZED_PIXELS
from vgg16_parity.onnx_check.check import check_model
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import normalise, pixels, preprocess, read_image
from vgg16_spec.images.recipes import RECIPES

# The network's input is 64 pixels wide: the crop is another, and resize no multiple of it.
ODD = replace(OWN, name="odd", resize=105, crop=90, resample="BILINEAR", scale=64.5)
RECIPES_TO_TRY = {
    "odd": ODD,
    "RGB": replace(ODD, channels="RGB"),
    "no mean": replace(ODD, mean=(0.0, 0.0, 0.0)),
    "no std": replace(ODD, std=(1.0, 1.0, 1.0)),
    "no crop": replace(ODD, resize=90),
    "a scale below one": replace(ODD, scale=1 / 3),
    "tf": RECIPES["tf"],
    "zero-one": RECIPES["zero-one"],
}
NAMES = ("grüne Mamba", 'a "b"', "crane")


@pytest.fixture(scope="module", autouse=True)
def once() -> Iterator[None]:
    with remembered_traces():
        yield


@pytest.fixture(scope="module")
def own() -> Checkpoint:
    return generate(configuration("tiny", classes=3), 1).with_recipe(ODD).with_labels(NAMES)


def outputs(model: Path, images: np.ndarray, *names: str) -> list[np.ndarray]:
    """Values of a graph, also inner ones."""
    proto = onnx.load(model)
    known = {output.name for output in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in {*names} - known)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return [np.asarray(values) for values in session.run(list(names), {"images": images})]


@pytest.mark.parametrize("name", RECIPES_TO_TRY)
def test_the_graph_prepares_raw_pixels_to_the_bit(
    own: Checkpoint, tmp_path: Path, name: str
) -> None:
    checkpoint = own.with_recipe(RECIPES_TO_TRY[name])
    raw = np.random.default_rng(7).integers(0, 256, (2, 64, 64, 3), np.uint8)
    model = export_onnx("keras", checkpoint, tmp_path / "m.onnx", input="uint8")
    logits, images = outputs(model, raw, "logits", "images_nchw")
    prepared = normalise(raw, RECIPES_TO_TRY[name])
    assert images.tobytes() == prepared.tobytes()
    assert judge_logits(logits, checkpoint, prepared).passed


@pytest.mark.parametrize("size", [(200, 131), (70, 75), (90, 90)])
def test_the_graph_resizes_and_crops_in_the_recipes_proportion(
    own: Checkpoint, tmp_path: Path, size: tuple[int, int]
) -> None:
    model = export_onnx("keras", own, tmp_path / "m.onnx", input="uint8", resize=True)
    noisy = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), np.uint8)
    for picture in (noisy, np.asarray(read_image(PHOTOGRAPHS[0].path).resize(size))):
        (found,) = outputs(model, picture[np.newaxis], "pixels_cropped")
        expected = pixels(Image.fromarray(picture), ODD, size=64)
        assert found.shape == expected.shape == (1, 64, 64, 3)
        assert np.abs(found.astype(int) - expected).max() <= RESIZED_PIXELS.limit


@pytest.mark.parametrize("options", [{}, {"input": "uint8"}, {"input": "uint8", "resize": True}])
def test_the_bundle_is_deployed_as_its_readme_says(
    own: Checkpoint, tmp_path: Path, options: dict[str, Any]
) -> None:
    bundle = tmp_path / "bundle"
    model = export_onnx("keras", own, bundle, **options)
    assert json.loads((bundle / "labels.json").read_text(encoding="utf-8")) == list(NAMES)
    readme = (bundle / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        cwd=bundle,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stdout.strip() in NAMES, done.stderr
    if not options:
        picture = read_image(PHOTOGRAPHS[0].path)
        assert "shorter side to 74 pixels (Pillow, bilinear), cut 64 × 64 pixels" in readme
        assert "in the order BGR, divide by 64.5, subtract (0.5, 1.25, 0.333" in readme
        given = onnx.load_tensor(bundle / "test_data_set_0" / "input_0.pb")
        prepared = preprocess(picture, ODD, size=64)
        assert np.array_equal(numpy_helper.to_array(given), prepared)
    document = json.loads((bundle / "metadata.json").read_text(encoding="utf-8"))
    assert (document["recipe"], document["labels"]) == ("odd", list(NAMES))
    stated = document["preprocessing"]
    assert stated["mean"] == list(ODD.mean)
    assert (stated["resize"], stated["crop"], stated["channels"]) == (74, 64, "BGR")
    kept = {entry.key: entry.value for entry in structure(model).metadata_props}
    assert json.loads(kept["labels"]) == list(NAMES)
    assert json.loads(kept["preprocessing"]) == stated
    pictures = [PHOTOGRAPHS[0].path]
    assert check_model(model, own, pictures).matches
    # A graph that takes prepared images fits any recipe.
    assert check_model(model, own.with_recipe("tf"), pictures).matches == (not options)


def test_the_copied_weights_have_the_recipe_that_was_given(own: Checkpoint, tmp_path: Path) -> None:
    from vgg16_spec.checkpoint import open_checkpoint, write_checkpoint

    plain = write_checkpoint(generate(own.configuration, 1), tmp_path / "w.safetensors")
    given = plain.with_recipe(ODD).with_labels(NAMES)
    export_onnx("keras", given, tmp_path / "bundle", test_data=False)
    copied = open_checkpoint(tmp_path / "bundle" / "1" / "weights.safetensors")
    assert (copied.recipe, copied.class_names) == (ODD, NAMES)
    shared = export_onnx("keras", given, tmp_path / "shared.onnx", weights_file="shared")
    kept = {entry.key: entry.value for entry in structure(shared).metadata_props}
    assert (kept["recipe"], json.loads(kept["labels"])) == ("odd", list(NAMES))
    assert open_checkpoint(plain.file).recipe == RECIPES["torchvision"]


def test_a_named_recipe_leaves_the_graph_as_it_was(tmp_path: Path) -> None:
    tiny = generate(configuration("tiny", classes=3), 1)
    model = structure(export_onnx("keras", tiny, tmp_path / "m.onnx"))
    assert {entry.key for entry in model.metadata_props} == {
        *("classes", "configuration", "licence", "opset", "precision", "preprocessing", "recipe"),
        *("source", "source_format", "source_sha256", "versions"),
    }


def test_a_graph_does_not_resize_by_a_filter_that_onnx_lacks(
    own: Checkpoint, tmp_path: Path
) -> None:
    checkpoint = own.with_recipe(replace(ODD, resample="LANCZOS"))
    with pytest.raises(BadInput, match="--resize: is bilinear, and the recipe odd resamples by LA"):
        export_onnx("keras", checkpoint, tmp_path / "m.onnx", input="uint8", resize=True)
    export_onnx("keras", checkpoint, tmp_path / "m.onnx", input="uint8")
