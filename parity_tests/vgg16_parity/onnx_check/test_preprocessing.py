"""`vgg16 check` looks at the preprocessing that a graph has inside, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import export_onnx
from parity_tests.support.graphs.exports import remembered_traces
from parity_tests.vgg16_parity.onnx_check.test_check import check
from vgg16_parity.onnx_check.check import CheckReport
from vgg16_spec.checkpoint import Checkpoint

Edit = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def pictures(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The exported network that takes pictures of any size."""
    path = tmp_path_factory.mktemp("pictures") / "model.onnx"
    with remembered_traces():
        yield export_onnx("keras", tiny, path, input="uint8", resize=True)


def attribute(node: str, name: str, value: object) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        (found,) = [entry for entry in model.graph.node if entry.name == node]
        kept = [entry for entry in found.attribute if entry.name != name]
        found.ClearField("attribute")
        found.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return edit


def constant(name: str, values: np.ndarray) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        (tensor,) = [entry for entry in model.graph.initializer if entry.name == name]
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    return edit


MISTAKES: dict[str, tuple[Edit, str]] = {
    "no antialiasing": (
        attribute("pixels_resized", "antialias", 0),
        "Resize pixels_resized: resizes without antialiasing, unlike the recipe",
    ),
    "nearest": (
        attribute("pixels_resized", "mode", "nearest"),
        "Resize pixels_resized: does not resize linearly, as the recipe does",
    ),
    "another size": (
        constant("shorter", np.array([80], np.int64)),
        "Resize pixels_resized: resizes to another size than the recipe does",
    ),
    "off the centre": (
        constant("half", np.array(0.7, np.float32)),
        "Slice pixels_cropped: crops elsewhere than in the centre",
    ),
    "mean off by a level": (
        constant("pixel_mean", np.array((0.485 + 1 / 255, 0.456, 0.406), np.float32)),
        "preprocessing: not that of the recipe torchvision, which the weights expect",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_in_the_preprocessing_is_named(
    pictures: Path, tiny: Checkpoint, tmp_path: Path, kind: str
) -> None:
    edit, problem = MISTAKES[kind]
    model = onnx.load(pictures)
    edit(model)
    onnx.save(model, tmp_path / "edited.onnx")
    report: CheckReport = check(tmp_path / "edited.onnx", tiny)
    assert problem in report.graph.problems
    assert not report.matches
