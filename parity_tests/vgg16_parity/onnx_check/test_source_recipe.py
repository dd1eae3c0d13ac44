"""The recipe of an ONNX graph is the one that it applies or states, or is said to be assumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export import export_onnx
from mistakes.in_onnx import Edit
from parity_tests.support.graphs.checked import READ, Edited
from parity_tests.support.helpers import same
from parity_tests.support.recipes import OWN
from vgg16_parity.onnx_check.source import checkpoint_of_onnx
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

EXPORTS: dict[str, dict[str, Any]] = {
    "nchw": {},
    "nhwc": {"layout": "nhwc"},
    "probabilities": {"output": "probabilities", "batch": 1},
    "pixels": {"input": "uint8"},
    "pictures": {"input": "uint8", "resize": True},
    "taps": {"taps": True},
}


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("recipe", ["torchvision", "caffe"])
def test_our_own_exports_give_the_checkpoint_back(
    kind: str, recipe: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    start = tiny.with_recipe(recipe)
    path = export_onnx("keras", start, tmp_path / "model.onnx", **EXPORTS[kind])
    read = checkpoint_of_onnx(path)
    assert same(read, tiny)
    assert read.metadata == start.metadata
    how = "as the graph applies it" if "input" in EXPORTS[kind] else "as the file states"
    assert read.steps[:2] == (READ, f"recipe {recipe} {how}")


OF_MY_OWN: Final = replace(OWN, name="mine", crop=64, resample="BILINEAR")


@pytest.mark.parametrize("kind", EXPORTS)
def test_our_own_exports_give_a_recipe_of_ones_own_back(
    kind: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    start = tiny.with_recipe(OF_MY_OWN)
    read = checkpoint_of_onnx(export_onnx("keras", start, tmp_path / "m.onnx", **EXPORTS[kind]))
    assert same(read, tiny)
    assert (read.recipe, read.metadata) == (OF_MY_OWN, start.metadata)
    assert not read.is_recipe_assumed


def test_a_recipe_is_read_back_at_the_networks_size(tiny: Checkpoint, tmp_path: Path) -> None:
    start = tiny.with_recipe(replace(OF_MY_OWN, resize=256, crop=224))
    read = checkpoint_of_onnx(export_onnx("keras", start, tmp_path / "m.onnx"))
    assert read.recipe == replace(OF_MY_OWN, resize=256 * 64 // 224)


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ('{"in_the_graph": "nothing"}', "its recipe: scale is missing"),
        ('{"in_the_graph": "", "scale": 1}', "its recipe: order: is ''"),
        ('{"in_the_graph": "", "channels": "RGB", "scale": 0}', "its recipe: scale: is 0"),
        ('{"in_the_graph": "", "mine": 1}', "its recipe: 'mine' is not a field of a recipe"),
    ],
)
def test_a_stated_recipe_that_cannot_be_used_is_refused(
    edited: Edited, stated: str, problem: str
) -> None:
    def state(model: onnx.ModelProto) -> None:
        facts = {"recipe": "mine", "source_sha256": "", "preprocessing": stated}
        helper.set_model_props(model, facts)

    with pytest.raises(BadInput) as error:
        checkpoint_of_onnx(edited(state))
    assert problem in str(error.value)


@pytest.mark.parametrize("stated", ["", "{", "[" * 20_000, "[]", "{}", '"BGR"'])
def test_anothers_words_about_a_recipe_are_passed_over(edited: Edited, stated: str) -> None:
    def state(model: onnx.ModelProto) -> None:
        facts = {"recipe": "soup", "source_sha256": "", "preprocessing": stated}
        helper.set_model_props(model, facts)

    read = checkpoint_of_onnx(edited(state))
    assert (read.recipe.name, read.is_recipe_assumed) == ("torchvision", True)


def preprocessing(mean: list[float], std: list[float]) -> Edit:
    """Nodes in front that subtract and divide, of RGB images (N, 3, H, W) of 0 to 255."""

    def change(model: onnx.ModelProto) -> None:
        images, first = model.graph.input[0].name, model.graph.node[0]
        for name, values in (("mean", mean), ("std", std)):
            array = np.array(values, np.float32).reshape(3, 1, 1)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        first.input[0] = "prepared"
        model.graph.node.insert(0, helper.make_node("Div", ["centred", "std"], ["prepared"]))
        model.graph.node.insert(0, helper.make_node("Sub", [images, "mean"], ["centred"]))

    return change


def test_preprocessing_in_front_is_the_recipe(edited: Edited, tiny: Checkpoint) -> None:
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    read = checkpoint_of_onnx(edited(preprocessing(mean, std)))
    assert same(read, tiny)
    assert read.metadata.recipe == "torchvision"
    assert read.steps[1] == "recipe torchvision as the graph applies it"


def test_the_authors_means_for_rgb_turn_the_first_kernel(edited: Edited, tiny: Checkpoint) -> None:
    """As in TF-Slim: RGB images minus the means, where the recipe's are BGR."""
    read = checkpoint_of_onnx(edited(preprocessing([123.68, 116.779, 103.939], [1, 1, 1])))
    assert read.metadata.recipe == "caffe"
    how = "as the graph applies it, the first kernel's channels reversed"
    assert read.steps[1] == f"recipe caffe {how}"
    kernel = tiny["block1_conv1.weight"]
    assert np.array_equal(
        read["block1_conv1.weight"], np.stack([kernel[:, 2], kernel[:, 1], kernel[:, 0]], axis=1)
    )
    assert np.array_equal(read["fc1.weight"], tiny["fc1.weight"])


def test_a_graph_that_reverses_its_channels_has_the_kernel_for_what_it_takes(
    edited: Edited, tiny: Checkpoint
) -> None:
    def change(model: onnx.ModelProto) -> None:
        images, first = model.graph.input[0].name, model.graph.node[0]
        order = numpy_helper.from_array(np.array([2, 1, 0]), "order")
        model.graph.initializer.append(order)
        first.input[0] = "reversed"
        flip = helper.make_node("Gather", [images, "order"], ["reversed"], "flip", axis=1)
        model.graph.node.insert(0, flip)

    read = checkpoint_of_onnx(edited(change))
    assert np.array_equal(read["block1_conv1.weight"], tiny["block1_conv1.weight"][:, ::-1])
    how = "assumed: NCHW images, the first kernel's channels reversed"
    assert read.steps[1] == f"recipe torchvision {how}"


def test_unknown_preprocessing_is_said(edited: Edited, tiny: Checkpoint) -> None:
    read = checkpoint_of_onnx(edited(preprocessing([100, 90, 80], [2, 3, 4])))
    assert same(read, tiny)
    problem = "the graph's preprocessing matches no recipe"
    assert read.steps[1] == f"recipe torchvision assumed: {problem}"
