"""Reads the weights of a VGG's ONNX graph, from any exporter, as a checkpoint.

The graph is followed as ``vgg16 check`` follows it, and its operations must be the network's, in
order: in any other graph, a tensor of the right shape may have another meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import onnx_ir as ir

from export.load import open_model
from onnx_arbiter.models.onnx_file import printable
from vgg16_parity.onnx_check import graph
from vgg16_parity.onnx_check.symbolic import Constant
from vgg16_parity.onnx_check.walk import TracedGraph, follow
from vgg16_parity.onnx_check.weights import as_maps
from vgg16_spec import labels
from vgg16_spec.architecture import CONFIGURATIONS, Configuration, Convolution
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor
from vgg16_spec.errors import BadInput, counted
from vgg16_spec.files.text import read_json
from vgg16_spec.images.recipes import RECIPES, Recipe, recipe_from
from vgg16_weights.contents import FIRST_KERNEL, Choices, Contents, checkpoint_of, swap_rgb_bgr
from vgg16_weights.formats import Format

FORMAT: Final = Format(
    "onnx", "", "", "canonical", "an ONNX graph of a VGG (.onnx)", writable=False
)
_QUANTISED: Final = ("DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")
# The recipe to assume for images in this layout.
_ASSUMED: Final = {"nhwc": "caffe", "nchw": "torchvision"}
# float16 values are float32 values too.
_ALLOWED: Final = "the images are FLOAT16"
_FIRST_TRIED: Final = RECIPES["torchvision"]
# How `Front` reports images in another order, and how a step does.
_CHANNELS: Final = "the channels are reversed"
_EXCHANGED: Final = "height and width are exchanged"
_REVERSED: Final = ", the first kernel's channels reversed"
# The metadata of this project's own exports.
_OURS: Final = ("recipe", "source", "source_format", "source_sha256", "licence", "labels")


def checkpoint_of_onnx(path: Path, *, include_top: bool = True) -> Checkpoint:
    """The weights of a graph, with the recipe that it applies or states.

    Args:
        path: the ONNX file; any files with its weights are in the same folder.
        include_top: whether the classifier is wanted; without it, any head is ignored.

    Raises ``BadInput`` for a model that is invalid or quantised, and for a graph that is not a
    VGG's; it names the node at which this differs.
    """
    model = open_model(path)
    if any(node.op_type in _QUANTISED for node in model.graph.all_nodes()):
        problem = "is quantised: it no longer has the original weights"
        raise BadInput(path, problem, "the graph before quantisation")
    stated = _stated(model, path)
    first = stated.recipe_record(str(path)) if stated else _FIRST_TRIED
    found, configuration = _followed(model, path, first, include_top=include_top)
    recipe, is_known, how = _recipe(model, found, configuration, first, is_stated=bool(stated))
    if found.front.problem.startswith(_EXCHANGED):
        raise _refusal(path, f"preprocessing: {found.front.problem}")
    # The preprocessing is settled; what follows checks the network alone.
    found.front.problem = ""
    for problem in graph.problems(found, configuration):
        if not problem.startswith(_ALLOWED):
            raise _refusal(path, problem)
    tensors: dict[str, Tensor] = {}
    for name, constant, order in _weights(found, configuration):
        array = constant.array
        if name == FIRST_KERNEL and how.endswith(_REVERSED):
            array = swap_rgb_bgr(array)
        view = partial(_canonical, array, name, order, configuration)
        tensors[name] = Tensor(array.shape, str(array.dtype), view)
    metadata = Metadata.of_file(recipe.name, path, FORMAT.name)
    if stated and stated.recipe == recipe.name:
        metadata = stated
    contents = Contents(
        tensors,
        metadata if is_known else None,
        is_ordered=True,
        steps=("layers matched by the ONNX graph", f"recipe {recipe.name} {how}"),
    )
    # An unknown recipe is the format's default, as for any other file.
    file_format = replace(FORMAT, recipe=recipe.name)
    return checkpoint_of(contents, path, file_format, Choices(include_top=include_top))


def _followed(
    model: ir.Model, path: Path, recipe: Recipe, *, include_top: bool
) -> tuple[TracedGraph, Configuration]:
    """The network's steps in a graph, after the recipe's preprocessing, and the network.

    Raises ``BadInput`` for the graph of another network.
    """
    # Sizes that the file leaves open are VGG16's, unless its layers are another network's.
    by_size = {known.input_size: known for known in CONFIGURATIONS.values()}
    for network in (CONFIGURATIONS["D"], *by_size.values()):
        found = follow(model, network, recipe)
        if (actual := _configuration(found, include_top=include_top)) is not None:
            break
    else:
        convolutions = sum(step.kind == "convolution" for step in found.steps)
        which = counted(convolutions, "convolution matches", "convolutions match")
        raise _refusal(path, found.problem or f"its {which} no VGG")
    if (actual.name, actual.classes) != (network.name, network.classes):
        found = follow(model, actual, recipe)
    steps, problem = found.steps, found.problem
    if not include_top:
        actual = actual.with_head(include_top=False)
        count = sum(2 if isinstance(layer, Convolution) else 1 for layer in actual.layers)
        steps, problem = steps[:count], problem if len(steps) < count else ""
    return replace(found, steps=steps, problem=problem), actual


def _configuration(found: TracedGraph, *, include_top: bool) -> Configuration | None:
    """The network whose convolutions a graph begins with, with its number of classes, or ``None``.

    Whatever follows them is the classifier, or a difference that is reported later.
    """
    weights = [step.weight.array for step in found.steps if step.weight is not None]
    kernels = [array.shape for array in weights if array.ndim == 4]
    for known in CONFIGURATIONS.values():
        expected = [layer.weight_shape for layer in known.convolutions]
        if kernels[: len(expected)] == expected:
            has_head = include_top and len(weights) > len(expected)
            return known.with_head(classes=len(weights[-1]) if has_head else None)
    return None


def _recipe(
    model: ir.Model,
    found: TracedGraph,
    configuration: Configuration,
    first: Recipe,
    *,
    is_stated: bool,
) -> tuple[Recipe, bool, str]:
    """The recipe of the weights, whether the file shows it, and how.

    ``first`` is the recipe with which the graph was followed.

    If the graph reverses the images' channels and the recipe does not, or the other way round, the
    input channels of the graph's first kernel are in reverse order.
    """
    own, reverses = found.front, ""
    if own.kind != "float32" or own.problem:
        for recipe in dict.fromkeys((first, *RECIPES.values())):
            front = own if recipe is first else follow(model, configuration, recipe).front
            reverses = _REVERSED if front.problem.startswith(_CHANNELS) else ""
            if front.kind != "float32" and (reverses or not front.problem):
                return recipe, True, f"as the graph applies it{reverses}"
            if reverses:
                break
    if is_stated:
        return first, True, f"as the file states{reverses}"
    images = f"{own.layout.upper()} images"
    if own.problem and not reverses:
        images = "the graph's preprocessing matches no recipe"
    return RECIPES[_ASSUMED[own.layout]], False, f"assumed: {images}{reverses}"


def _weights(
    found: TracedGraph, configuration: Configuration
) -> Iterator[tuple[str, Constant, str]]:
    """The canonical name and array of every tensor, and the order of a dense layer's inputs."""
    steps = [step for step in found.steps if step.weight is not None]
    for layer, step in zip(configuration.weighted_layers, steps, strict=True):
        for part, constant in (("weight", step.weight), ("bias", step.bias)):
            if constant is not None:
                yield f"{layer.name}.{part}", constant, step.order


def _canonical(array: Array, name: str, order: str, configuration: Configuration) -> Array:
    if name == "fc1.weight" and sorted(order) == sorted("CHW"):
        return as_maps(array, order, configuration.feature_shape)
    return array


def _stated(model: ir.Model, path: Path) -> Metadata | None:
    """What this project's export stated about the checkpoint; ``None`` for any other file.

    Raises ``BadInput`` for a custom recipe that cannot be used.
    """
    facts = {name: model.metadata_props[name] for name in _OURS if name in model.metadata_props}
    if not {"recipe", "source_sha256"} <= facts.keys():
        return None
    if "labels" in facts:
        with suppress(ValueError):  # the checkpoint says what is wrong with them
            facts["labels"] = labels.to_json(labels.from_json(facts["labels"]))
    metadata = Metadata(**facts)
    if metadata.recipe in RECIPES:
        return metadata
    try:
        fields = read_json(model.metadata_props.get("preprocessing", ""))
    except ValueError:
        return None
    if not isinstance(fields, dict) or "in_the_graph" not in fields:
        return None
    # As the export writes it: the fields of a recipe at the network's size, and one more.
    fields["order"] = fields.pop("channels", "")
    del fields["in_the_graph"]
    return metadata.with_recipe(recipe_from(fields, f"{path}: its recipe", metadata.recipe))


def _refusal(path: Path, problem: str) -> BadInput:
    return BadInput(path, printable(problem), "the graph of a VGG, as `vgg16 check` accepts it")
