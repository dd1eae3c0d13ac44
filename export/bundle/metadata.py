"""What a deployed file says about itself: nothing of the machine or the moment it was made on.

Nor of the framework that it was traced from, which leaves no mark on the graph.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from export.options import Options
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import RECIPES, resized_side

PRODUCER: Final = "vgg16-parity"
# The packages that decide about the bytes of a graph, whichever framework it is from.
_WRITERS: Final = ("vgg16-parity", "onnx", "onnx-ir", "onnxscript")
# ONNX's metadata are text; these are JSON there.
_DOCUMENTS: Final = ("classes", "opset", "preprocessing", "versions")


def describe(
    model: ir.Model, checkpoint: Checkpoint, options: Options, weights_sha256: str | None
) -> None:
    """Write into a graph what a reader needs, in place of what the exporters wrote.

    ``weights_sha256`` is the digest of the file that the graph points into, if it does.
    """
    _forget_the_exporter(model)
    configuration = checkpoint.configuration
    model.graph.name = f"VGG configuration {configuration.name}"
    model.producer_name, model.producer_version = PRODUCER, version(PRODUCER)
    facts = asdict(checkpoint.metadata) | {
        "configuration": configuration.name,
        "opset": model.opset_imports[""],
        "precision": options.precision,
        "preprocessing": _preprocessing(checkpoint, options),
        "versions": {name: version(name) for name in _WRITERS},
    }
    if configuration.include_top:
        facts["classes"] = configuration.classes
    if weights_sha256 is not None:
        facts["weights_sha256"] = weights_sha256
    model.metadata_props.clear()
    for name, fact in sorted(facts.items()):
        model.metadata_props[name] = fact if isinstance(fact, str) else json.dumps(fact)


def _preprocessing(checkpoint: Checkpoint, options: Options) -> dict[str, Any]:
    """The recipe at the network's size, and how much of it the graph does itself."""
    recipe, size = RECIPES[checkpoint.metadata.recipe], checkpoint.configuration.input_size
    inside = {"float32": "nothing", "uint8": "arithmetic"}[options.input]
    return asdict(recipe) | {
        "resize": resized_side(recipe, size),
        "crop": size,
        "in_the_graph": "resize, crop, arithmetic" if options.resize else inside,
    }


def _forget_the_exporter(model: ir.Model) -> None:
    ClearMetadataAndDocStringPass()(model)
    weights = model.graph.initializers.values()
    of_nodes = (value for node in model.graph for value in node.outputs)
    for value in (*model.graph.inputs, *weights, *of_nodes):
        value.metadata_props.clear()
        value.doc_string = None
    for value in weights:
        # Its type and shape are the tensor's own; what a tracer knew of them is not written twice.
        value.type = value.shape = None


def stated(model: ir.Model) -> dict[str, Any]:
    """The same as a JSON document, with what the graph takes and gives."""
    document: dict[str, Any] = {
        name: json.loads(fact) if name in _DOCUMENTS else fact
        for name, fact in model.metadata_props.items()
    }
    for side, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs)):
        document[side] = [
            {"name": value.name, "type": str(value.dtype), "shape": sizes(value)}
            for value in values
        ]
    return document


def sizes(value: ir.Value) -> list[int | str | None]:
    """A value's axes: numbers, names of the free ones, ``None`` for those that follow from them."""
    return [size if isinstance(size, int) else size.value for size in value.shape or ()]
