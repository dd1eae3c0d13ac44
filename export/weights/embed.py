"""One ONNX file with its weights inside, written a block of a weight at a time.

Protobuf's libraries build a message in memory, twice, before they write a byte. A message within a
message is a tag, a length and bytes, so the large ones can be streamed between the small ones.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import CheckerPass

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import BLOCK_BYTES
from vgg16_spec.checkpoint import Checkpoint

# Field number << 3 | 2, "length-delimited": ModelProto.graph, GraphProto.initializer and
# TensorProto.raw_data of onnx.proto.
_GRAPH: Final = b"\x3a"
_INITIALIZER: Final = b"\x2a"
_RAW_DATA: Final = b"\x4a"
_FLOAT_BYTES: Final = 4


def write_embedded(
    model: ir.Model, checkpoint: Checkpoint, path: Path, block_bytes: int = BLOCK_BYTES
) -> None:
    """Check a graph in full and write it with a checkpoint's weights, ``block_bytes`` at a time.

    The graph's own initializers of their names stand for them, and are taken out of it.

    Raises:
        onnx.checker.ValidationError: for an invalid graph.
        BadInput: for weights that are not finite.
    """
    # The check has the weights as inputs, and leaves their types and shapes in the graph.
    CheckerPass(full_check=True)(model.clone())
    shapes = {}
    for name in checkpoint:
        tensor = model.graph.initializers.pop(name).const_value
        assert tensor is not None
        shapes[name] = tuple(tensor.shape.numpy())  # not the checkpoint's, where applied densely
    proto = ir.to_proto(model)
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    heads = {name: _head(name, shape) for name, shape in shapes.items()}
    length = len(graph) + sum(len(heads[name]) + _size(shapes[name]) for name in shapes)
    with path.open("wb") as file, checkpoint.finite_blocks(block_bytes=block_bytes) as blocks_of:
        file.write(proto.SerializeToString(deterministic=True))
        file.write(_GRAPH + _varint(length) + graph)
        for name, head in heads.items():
            file.write(head)
            for block in blocks_of(name):
                file.write(block.data)


def _size(shape: Shape) -> int:
    """How many bytes a tensor's values take."""
    return _FLOAT_BYTES * math.prod(shape)


def _head(name: str, shape: Shape) -> bytes:
    """An initializer up to its values."""
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=shape)
    head = tensor.SerializeToString(deterministic=True) + _RAW_DATA + _varint(_size(shape))
    return _INITIALIZER + _varint(len(head) + _size(shape)) + bytes(head)


def _varint(value: int) -> bytes:
    """A number as protobuf writes it: groups of seven bits, the lowest first."""
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
