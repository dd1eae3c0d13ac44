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
from onnx_ir.passes.common import CheckerPass

from vgg16_spec.checkpoint import Checkpoint

# Field number << 3 | 2, "length-delimited": ModelProto.graph, GraphProto.initializer and
# TensorProto.raw_data of onnx.proto.
_GRAPH: Final = b"\x3a"
_INITIALIZER: Final = b"\x2a"
_RAW_DATA: Final = b"\x4a"


def write_embedded(model: ir.Model, checkpoint: Checkpoint, path: Path) -> None:
    """Check a graph in full and write it with a checkpoint's weights, read one at a time.

    The graph's own initializers of their names stand for them, and are taken out of it.

    Raises:
        onnx.checker.ValidationError: for an invalid graph.
    """
    # The check has the weights as inputs, and leaves their types and shapes in the graph.
    CheckerPass(full_check=True)(model.clone())
    for name in checkpoint:
        model.graph.initializers.pop(name)
    proto = ir.to_proto(model)
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
