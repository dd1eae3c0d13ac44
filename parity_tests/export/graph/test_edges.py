"""A graph that takes pixels computes what the recipe does, bit for bit, and nothing besides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export import export_onnx
from parity_tests.support.graphs.exports import remembered_traces, run
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import normalise

PLAIN: dict[str, Any] = {
    "channels": "RGB",
    "scale": 1.0,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}
# A recipe's arithmetic beside that of one that has none, and the nodes for it.
PARTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "none": ({}, []),
    "BGR": ({"channels": "BGR"}, ["pixels_bgr"]),
    "a scale": ({"scale": 2.0}, ["pixels_scaled"]),
    "a mean of one channel": ({"mean": (0.0, 0.0, 103.939)}, ["pixels_centred"]),
    "a deviation of one channel": ({"std": (1.0, 1.0, 58.4)}, ["pixels_normalised"]),
    "all": (
        {"channels": "BGR", "scale": 255.0, "mean": (0.485, 0.456, 0.406), "std": (0.2, 0.3, 0.4)},
        ["pixels_bgr", "pixels_scaled", "pixels_centred", "pixels_normalised"],
    ),
}


@pytest.mark.parametrize("kind", PARTS)
def test_pixels_become_what_the_recipe_makes_of_them(
    kind: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    changes, nodes = PARTS[kind]
    recipe = replace(tiny.recipe, name="own", **(PLAIN | changes))
    with remembered_traces():
        path = export_onnx("keras", tiny.with_recipe(recipe), tmp_path / "m.onnx", input="uint8")
    model = onnx.load(path)
    names = [node.name for node in model.graph.node]
    assert names[: names.index("block1_conv1")] == ["pixels", *nodes, "images_nchw"]
    model.graph.output.append(onnx.ValueInfoProto(name="images_nchw"))
    onnx.save(model, path)
    pixels = np.random.default_rng(0).integers(256, size=(2, 64, 64, 3), dtype=np.uint8)
    assert run(path, pixels)["images_nchw"].tobytes() == normalise(pixels, recipe).tobytes()
