"""The weights of an ONNX graph are those that it computes with, or the graph is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import vgg16_weights
from export import export_onnx
from mistakes.in_onnx import Edit, append, change_weight, node_of, remove
from parity_tests.support.graphs.checked import PICTURES
from parity_tests.support.helpers import Command, same
from vgg16_parity.onnx_check.source import checkpoint_of_onnx
from vgg16_parity.own_port import checkpoint_of
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest, open_checkpoint, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import Recipe

READ = "layers matched by the ONNX graph"
# An edit of the exported network, without what its metadata say -> the file.
Edited: TypeAlias = Callable[[Edit], Path]


@pytest.fixture
def edited(exported: Path, tmp_path: Path) -> Edited:
    def edit(change: Edit) -> Path:
        model = onnx.load(exported)
        del model.metadata_props[:]
        change(model)
        onnx.save(model, tmp_path / "edited.onnx")
        return tmp_path / "edited.onnx"

    return edit


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(BadInput) as error:
        checkpoint_of_onnx(path, **options)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert len(error.value.problem) + len(error.value.expected) < 290
    return error.value.problem


OWN: dict[str, dict[str, Any]] = {
    "nchw": {},
    "nhwc": {"layout": "nhwc"},
    "probabilities": {"output": "probabilities", "batch": 1},
    "pixels": {"input": "uint8"},
    "pictures": {"input": "uint8", "resize": True},
    "taps": {"taps": True},
}


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("recipe", ["torchvision", "caffe"])
def test_our_own_exports_give_the_checkpoint_back(
    kind: str, recipe: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    start = tiny.with_recipe(recipe)
    path = export_onnx("keras", start, tmp_path / "model.onnx", **OWN[kind])
    read = checkpoint_of_onnx(path)
    assert same(read, tiny)
    assert read.metadata == start.metadata
    how = "as the graph applies it" if "input" in OWN[kind] else "as the file states"
    assert read.steps[:2] == (READ, f"recipe {recipe} {how}")


OF_MY_OWN: Final = Recipe(
    name="mine",
    resize=96,
    crop=64,
    channels="BGR",
    scale=64.0,
    mean=(0.5, 1.25, 1 / 3),
    std=(2.0, 4.0, 0.7),
)


@pytest.mark.parametrize("kind", OWN)
def test_our_own_exports_give_a_recipe_of_ones_own_back(
    kind: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    start = tiny.with_recipe(OF_MY_OWN)
    read = checkpoint_of_onnx(export_onnx("keras", start, tmp_path / "m.onnx", **OWN[kind]))
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


def test_weights_beside_the_graph_are_read(tiny: Checkpoint, tmp_path: Path) -> None:
    bundle = export_onnx("keras", tiny, tmp_path / "bundle", test_data=False)
    assert same(checkpoint_of_onnx(bundle), tiny)
    beside = write_checkpoint(tiny, tmp_path / "w.safetensors")
    shared = export_onnx("keras", beside, tmp_path / "shared.onnx", weights_file="shared")
    assert same(checkpoint_of_onnx(shared), tiny)


def test_other_classes_and_other_columns_are_recognised(tmp_path: Path) -> None:
    start = generate(configuration("tiny", classes=7), 4)
    path = export_onnx("keras", start, tmp_path / "model.onnx")
    read = checkpoint_of_onnx(path)
    assert read.configuration == start.configuration
    assert same(read, start)


def test_an_open_size_is_the_networks(edited: Edited, tiny: Checkpoint) -> None:
    def change(model: onnx.ModelProto) -> None:
        for size in model.graph.input[0].type.tensor_type.shape.dim:
            size.Clear()

    assert same(checkpoint_of_onnx(edited(change)), tiny)


def test_other_names_are_read_and_the_file_is_the_source(edited: Edited, tiny: Checkpoint) -> None:
    """As in the ONNX Model Zoo: ``vgg0_conv0_weight``, ``vgg0_dense0_bias``."""

    def change(model: onnx.ModelProto) -> None:
        weights = [entry.name for entry in model.graph.initializer if entry.name in tiny]
        names = {name: f"vgg0_{number}_weight" for number, name in enumerate(weights)}
        for entry in model.graph.initializer:
            entry.name = names.get(entry.name, entry.name)
        for node in model.graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.name = ""
        model.graph.initializer.sort(key=lambda entry: entry.name, reverse=True)

    path = edited(change)
    read = checkpoint_of_onnx(path)
    assert same(read, tiny)
    assert read.metadata.source == "edited.onnx"
    assert read.metadata.source_format == "onnx"
    assert read.metadata.source_sha256 == digest(path)
    assert read.metadata.recipe == "torchvision"
    assert read.steps[:2] == (READ, "recipe torchvision assumed: NCHW images")


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


def test_a_layer_without_its_bias_has_zeros(edited: Edited, tiny: Checkpoint) -> None:
    def change(model: onnx.ModelProto) -> None:
        for name in ("block3_conv2", "fc2"):
            del node_of(model, name).input[2]

    read = checkpoint_of_onnx(edited(change))
    for name in tiny:
        if name in ("block3_conv2.bias", "fc2.bias"):
            assert not read[name].any()
        else:
            assert np.array_equal(read[name], tiny[name])


def relu_left_out(model: onnx.ModelProto) -> None:
    relus = [node.name for node in model.graph.node if node.op_type == "Relu"]
    remove(model, relus[2])


def strides_of_two(model: onnx.ModelProto) -> None:
    node = node_of(model, "block2_conv1")
    (strides,) = (entry for entry in node.attribute if entry.name == "strides")
    strides.ints[:] = [2, 2]


def sigmoid_at_the_end(model: onnx.ModelProto) -> None:
    append(model, helper.make_node("Sigmoid", ["logits"], ["odds"], "odds"))


FOREIGN: dict[str, tuple[Edit, str]] = {
    "a missing ReLU": (relu_left_out, "ReLU was expected"),
    "strides": (strides_of_two, "strides 2×2, expected 1×1"),
    "another end": (sigmoid_at_the_end, "Sigmoid odds: an operation that the network has none"),
    "another width": (
        lambda model: change_weight("block1_conv1.weight", lambda a: a[:2])(model),
        "",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_network_is_refused_by_its_node(edited: Edited, kind: str) -> None:
    change, problem = FOREIGN[kind]
    assert problem in refusal(edited(change))


def test_a_quantised_graph_is_called_that(tiny: Checkpoint, tmp_path: Path) -> None:
    path = export_onnx("keras", tiny, tmp_path / "out", precision="int8", calibrate=PICTURES)
    assert refusal(path) == "is quantised: it no longer has the original weights"


def test_the_body_is_read_whatever_the_head_is(edited: Edited, tiny: Checkpoint) -> None:
    def pooled(model: onnx.ModelProto) -> None:
        first = node_of(model, "flatten")
        position = list(model.graph.node).index(first)
        maps = first.input[0]
        del model.graph.node[position:]
        matrix = numpy_helper.from_array(np.ones((12, 5), np.float32), "matrix")
        model.graph.initializer.append(matrix)
        for node in (
            helper.make_node("GlobalAveragePool", [maps], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["logits"], "head"),
        ):
            model.graph.node.append(node)
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5

    path = edited(pooled)
    assert "average pooling where fc1's dense layer was expected" in refusal(path)
    assert same(checkpoint_of_onnx(path, include_top=False), tiny.without_top())


def test_a_graph_of_features_is_read_without_the_classifier(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = export_onnx("keras", tiny.without_top(), tmp_path / "model.onnx", features=True)
    assert "where fc1's dense layer was expected" in refusal(path)
    assert same(checkpoint_of_onnx(path, include_top=False), tiny.without_top())


def test_half_precision_is_passed_on_as_it_is(edited: Edited, tiny: Checkpoint) -> None:
    def change(model: onnx.ModelProto) -> None:
        change_weight("fc2.weight", lambda a: a.astype(np.float16))(model)
        cast = helper.make_node("Cast", ["fc2.weight"], ["wide"], to=TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
        node_of(model, "fc2").input[1] = "wide"

    read = checkpoint_of_onnx(edited(change))
    assert np.array_equal(read["fc2.weight"], tiny["fc2.weight"].astype(np.float16))


def test_every_way_to_name_weights_takes_a_graph(
    vgg16: Command, exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    done = vgg16("port", exported, tmp_path / "w.safetensors")
    assert done.status == 0, done.err
    assert same(open_checkpoint(tmp_path / "w.safetensors"), tiny)
    assert vgg16("weights", "verify", exported, tiny.file).status == 0
    assert same(checkpoint_of(exported), tiny)
    with pytest.raises(BadInput, match="is an ONNX graph, not a weights file"):
        vgg16_weights.read(exported)


def test_a_damaged_graph_is_refused(vgg16: Command, exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(exported.read_bytes()[:5000])
    done = vgg16("port", path, tmp_path / "w.pth")
    assert done.status == 2
    words = "begins as an ONNX model does, but is truncated or damaged"
    assert done.err.splitlines()[-1].startswith(f"vgg16: {path}: {words}")
    assert not (tmp_path / "w.pth").exists()
