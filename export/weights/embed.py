"""One ONNX file with its weights inside, written one weight at a time.

Protobuf's libraries build a message in memory, twice, before a byte of it is written. A message
within a message is a tag, a length and bytes, so that the large ones can be streamed between the
small ones, which the library writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx_ir as ir

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
    heads = {name: _head(name, checkpoint) for name in checkpoint}
    length = len(graph) + sum(
        len(_INITIALIZER) + len(_length(size)) + size
        for size in (_size(name, heads, checkpoint) for name in checkpoint)
    )
    with path.open("wb") as file:
        file.write(proto.SerializeToString(deterministic=True))
        file.write(_GRAPH + _length(length) + graph)
        for name, head in heads.items():
            file.write(_INITIALIZER + _length(_size(name, heads, checkpoint)) + head)
            file.write(_values(name, checkpoint).data)


def check_without_weights(model: ir.Model, checkpoint: Checkpoint) -> None:
    """Check in full, by onnx, the graph that is to be written; with its weights it would copy them.

    Raises ``onnx.checker.ValidationError`` for a graph that is not valid.
    """
    bare = model.clone()
    for name in checkpoint:
        weight = bare.graph.initializers.pop(name)
        weight.shape, weight.const_value = ir.Shape(checkpoint[name].shape), None
        weight.type = ir.TensorType(ir.DataType.FLOAT)
        bare.graph.inputs.append(weight)
    onnx.checker.check_model(ir.to_proto(bare), full_check=True)


def _values(name: str, checkpoint: Checkpoint) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.ascontiguousarray(checkpoint[name]).reshape(-1).view(np.uint8)


def _size(name: str, heads: dict[str, bytes], checkpoint: Checkpoint) -> int:
    return len(heads[name]) + _values(name, checkpoint).size


def _head(name: str, checkpoint: Checkpoint) -> bytes:
    """A TensorProto up to its values."""
    array = checkpoint[name]
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=array.shape)
    return bytes(tensor.SerializeToString(deterministic=True)) + _RAW_DATA + _length(array.nbytes)


def _length(value: int) -> bytes:
    """A number as protobuf's base-128 varint, the lowest seven bits first."""
    return bytes(_groups(value))


def _groups(value: int) -> Iterator[int]:
    while value >= 0x80:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value
