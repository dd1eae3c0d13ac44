"""The exported file, and copies of it that output every layer or compute each layer alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import onnx
import onnx.shape_inference
import onnx_ir as ir

from export.constants import HEIGHT, WIDTH
from export.graph import canonical, dense, naming
from export.graph.taps import layers_alone, with_taps
from export.load import open_model
from vgg16_parity.runtimes.job import Depth
from vgg16_spec.architecture import Shape

# What a graph computes: the depth of a job, or the logits of the network applied densely.
Kind: TypeAlias = Depth | Literal["dense"]


def write_graph(path: Path, kind: Kind, sizes: Sequence[Shape] | None = None) -> Path:
    """Write the graph that computes what ``kind`` says beside the exported file; returns its path.

    For the logits it is the file itself; each other one points into the same weights. ``sizes`` are
    the shapes of all inputs, for an engine that needs fixed ones.
    """
    if kind == "logits":
        return path
    model = open_model(path)
    if kind == "dense":
        changed = _dense(model)
    elif kind == "taps":
        changed = with_taps(model, [str(value.name) for value in naming.taps(model)])
    else:
        changed = layers_alone(model)
    written = path.with_name(f"{kind}.onnx")
    proto = ir.to_proto(changed) if sizes is None else _of_sizes(changed, sizes)
    written.write_bytes(proto.SerializeToString())
    return written


def _dense(model: ir.Model) -> ir.Model:
    """The network of an exported file with images of any size."""
    canonical.infer_shapes(model)
    dense.apply_densely(model)
    (images,) = model.graph.inputs
    batch, channels = list(images.shape or ())[:2]
    images.shape = ir.Shape((batch, channels, HEIGHT, WIDTH))
    canonical.infer_shapes(model)
    return model


def _of_sizes(model: ir.Model, sizes: Sequence[Shape]) -> onnx.ModelProto:
    for node in model.graph:
        for output in node.outputs:
            output.shape = None
    for value, size in zip(model.graph.inputs, sizes, strict=True):
        value.shape = ir.Shape(size)
    return onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True, data_prop=True)
