"""A graph that prepares pictures as the recipe does not is reported with what it does instead."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest

from export import export_onnx
from mistakes.in_onnx import Edit, remove, set_attribute, set_operator, set_weight
from parity_tests.support.graphs.checked import check
from vgg16_spec.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def pictures(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported network that takes pictures of any size."""
    path = tmp_path_factory.mktemp("pictures") / "model.onnx"
    return export_onnx("keras", tiny, path, input="uint8", resize=True)


def pictures_as_they_are(model: onnx.ModelProto) -> None:
    for name in ("pixels_resized", "pixels_cropped"):
        remove(model, name)


PREPROCESSING: dict[str, tuple[Edit, str]] = {
    "no antialiasing": (
        set_attribute("pixels_resized", "antialias", 0),
        "Resize pixels_resized: resizes without antialiasing, unlike the recipe",
    ),
    "nearest": (
        set_attribute("pixels_resized", "mode", "nearest"),
        "Resize pixels_resized: resizes by nearest, the recipe torchvision by BILINEAR",
    ),
    "another size": (
        set_weight("shorter", np.array([80], np.int64)),
        "Resize pixels_resized: resizes to another size than the recipe does",
    ),
    "neither resize nor crop": (
        pictures_as_they_are,
        "Conv block1_conv1: reads pictures whose shorter side is not made 73",
    ),
    "no crop": (
        partial(remove, name="pixels_cropped"),
        "Conv block1_conv1: reads pictures of 73 × 75, expected 64 × 64",
    ),
    "pixels elsewhere": (
        set_attribute("pixels_resized", "coordinate_transformation_mode", "asymmetric"),
        "Resize pixels_resized: resizes with the coordinate_transformation_mode asymmetric, "
        "expected half_pixel",
    ),
    "sides adjusted": (
        set_attribute("pixels_resized", "keep_aspect_ratio_policy", "not_smaller"),
        "Resize pixels_resized: resizes with the keep_aspect_ratio_policy not_smaller, "
        "expected stretch",
    ),
    "half a pixel rounded up": (
        set_operator("crop_offset", "Ceil"),
        "Slice pixels_cropped: crops elsewhere than in the centre",
    ),
    "half a pixel rounded down": (
        set_operator("crop_offset", "Floor"),
        "Slice pixels_cropped: crops elsewhere than in the centre",
    ),
    "off the centre": (
        set_weight("half", np.array(0.7, np.float32)),
        "Slice pixels_cropped: crops elsewhere than in the centre",
    ),
    "mean off by a level": (
        set_weight("pixel_mean", np.array((0.485 + 1 / 255, 0.456, 0.406), np.float32)),
        "preprocessing: not that of the recipe torchvision, which the weights expect",
    ),
}


@pytest.mark.parametrize("kind", PREPROCESSING)
def test_a_mistake_in_the_preprocessing_is_named(
    pictures: Path, tiny: Checkpoint, tmp_path: Path, kind: str
) -> None:
    edit, problem = PREPROCESSING[kind]
    model = onnx.load(pictures)
    edit(model)
    onnx.save(model, tmp_path / "edited.onnx")
    report = check(tmp_path / "edited.onnx", tiny)
    assert any(problem in found for found in report.graph.problems), report.graph.problems
    assert not report.matches


CUBIC_MODE: Final = set_attribute("pixels_resized", "mode", "cubic")
CUBIC: Final = set_attribute("pixels_resized", "cubic_coeff_a", -0.5)


def test_the_filter_of_the_recipe_is_the_one_expected(
    pictures: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    for filtered, edits, problem in (
        ("LANCZOS", [], "resizes by linear, the recipe own by LANCZOS"),
        ("BICUBIC", [], "resizes by linear, the recipe own by BICUBIC"),
        ("BICUBIC", [CUBIC_MODE], "resizes by cubic (-0.75), the recipe own by BICUBIC"),
        ("BICUBIC", [CUBIC_MODE, CUBIC], ""),
        ("BILINEAR", [CUBIC_MODE, CUBIC], "resizes by cubic (-0.5), the recipe own by BILINEAR"),
    ):
        model = onnx.load(pictures)
        for edit in edits:
            edit(model)
        onnx.save(model, tmp_path / "edited.onnx")
        own = replace(tiny.recipe, name="own", resample=filtered)
        own = own if filtered != "BILINEAR" else replace(own, mean=(0.0, 0.0, 0.1))
        found = check(tmp_path / "edited.onnx", tiny.with_recipe(own)).graph.problems
        resized = [each for each in found if "pixels_resized" in each]
        assert resized == ([f"Resize pixels_resized: {problem}"] if problem else [])
