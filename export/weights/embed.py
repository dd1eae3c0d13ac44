"""One ONNX file with its weights inside, written one weight at a time.

Protobuf's libraries build a message in memory, twice, before they write a byte. A message within a
message is a tag, a length and bytes, so the large ones can be streamed between the small ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from vgg16_spec.checkpoint import Checkpoint

# Field number << 3 | 2, "length-delimited": ModelProto.graph, GraphProto.initializer and
# TensorProto.raw_data of onnx.proto.
_GRAPH: Final = b"\x3a"
_INITIALIZER: Final = b"\x2a"
_RAW_DATA: Final = b"\x4a"


def write_embedded(model: ir.Model, checkpoint: Checkpoint, path: Path) -> None:
    """Write a graph with a checkpoint's weights in it.

    Args:
        model: its initializers that have the names of weights are these weights.
        checkpoint: read one tensor at a time.
        path: of the file.
    """
    weights = {name: model.graph.initializers.pop(name) for name in checkpoint}
    try:
        proto = ir.to_proto(model)
    finally:
        model.graph.initializers.update(weights)
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    heads = {name: _head(name, checkpoint[name]) for name in checkpoint}
    length = len(graph) + sum(len(heads[name]) + checkpoint[name].nbytes for name in checkpoint)
    with path.open("wb") as file:
        file.write(proto.SerializeToString(deterministic=True))
        file.write(_GRAPH + _varint(length) + graph)
        for name, head in heads.items():
            file.write(head)
            file.write(np.ascontiguousarray(checkpoint[name]).data)


def check_without_weights(model: ir.Model, checkpoint: Checkpoint) -> None:
    """Have onnx check the graph in full; with its weights it would copy them.

    Raises:
        onnx.checker.ValidationError: for an invalid graph.
    """
    bare = model.clone()
    for name in checkpoint:
        weight = bare.graph.initializers.pop(name)
        weight.shape, weight.const_value = ir.Shape(checkpoint[name].shape), None
        weight.type = ir.TensorType(ir.DataType.FLOAT)
        bare.graph.inputs.append(weight)
    onnx.checker.check_model(ir.to_proto(bare), full_check=True)


def _head(name: str, array: NDArray[np.float32]) -> bytes:
    """An initializer up to its values."""
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=array.shape)
    head = tensor.SerializeToString(deterministic=True) + _RAW_DATA + _varint(array.nbytes)
    return _INITIALIZER + _varint(len(head) + array.nbytes) + bytes(head)


def _varint(value: int) -> bytes:
    """A number as protobuf writes it: groups of seven bits, the lowest first."""
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
