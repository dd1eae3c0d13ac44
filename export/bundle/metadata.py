"""The metadata of a deployed file.

Nothing in them depends on the machine, the time, or the framework that the graph was traced from.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from export.options import Options
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import resized_side

PRODUCER: Final = "vgg16-parity"
# The packages that determine the bytes of a graph, whichever framework it is from.
_WRITERS: Final = (PRODUCER, "onnx", "onnx-ir", "onnxscript")


def set_metadata(
    model: ir.Model, checkpoint: Checkpoint, options: Options, weights_sha256: str | None
) -> dict[str, Any]:
    """Replace an exporter's metadata by those that a reader of the file needs.

    ``weights_sha256`` is the digest of the file that the graph points into, if any. Returns the
    metadata as a JSON document, with the graph's inputs and outputs.
    """
    _clear_metadata(model)
    configuration, versions = checkpoint.configuration, dict[str, str]()
    for package in _WRITERS:
        with suppress(PackageNotFoundError):  # a source tree that is only on the path
            versions[package] = version(package)
    model.graph.name = f"VGG configuration {configuration.name}"
    model.producer_name, model.producer_version = PRODUCER, versions.get(PRODUCER)
    facts: dict[str, Any] = checkpoint.metadata.stated() | {
        "configuration": configuration.name,
        "opset": model.opset_imports[""],
        "precision": options.precision,
        "preprocessing": _preprocessing(checkpoint, options),
        "versions": versions,
    }
    if options.dense:
        facts["dense"] = True
    if configuration.include_top:
        facts["classes"] = configuration.classes
    if checkpoint.metadata.labels:
        facts["labels"] = checkpoint.class_names
    if weights_sha256 is not None:
        facts["weights_sha256"] = weights_sha256
    document: dict[str, Any] = dict(sorted(facts.items()))
    for name, fact in document.items():
        model.metadata_props[name] = fact if isinstance(fact, str) else json.dumps(fact)
    return document | {
        "inputs": [_edge(value) for value in model.graph.inputs],
        "outputs": [_edge(value) for value in model.graph.outputs],
    }


def _edge(value: ir.Value) -> dict[str, Any]:
    """An input or output; an axis that follows from free ones has no name."""
    shape = [size if isinstance(size, int) else size.value for size in value.shape or ()]
    return {"name": value.name, "type": str(value.dtype), "shape": shape}


def _preprocessing(checkpoint: Checkpoint, options: Options) -> dict[str, Any]:
    """The recipe at the network's size, and the part of it that the graph does itself."""
    recipe, size = checkpoint.recipe, checkpoint.configuration.input_size
    inside = {"float32": "nothing", "uint8": "arithmetic"}[options.input]
    return asdict(recipe) | {
        "resize": resized_side(recipe, size),
        "crop": size,
        "in_the_graph": "resize, crop, arithmetic" if options.resize else inside,
    }


def _clear_metadata(model: ir.Model) -> None:
    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    weights = model.graph.initializers.values()
    of_nodes = (value for node in model.graph for value in node.outputs)
    for value in (*model.graph.inputs, *weights, *of_nodes):
        value.metadata_props.clear()
        value.doc_string = None
    for value in weights:
        # The tensor has the type and the shape already.
        value.type = value.shape = None
