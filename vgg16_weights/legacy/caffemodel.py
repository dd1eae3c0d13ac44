"""The authors' own release, ``VGG_ILSVRC_16_layers.caffemodel``, and any VGG saved by Caffe.

The file is one protobuf message, ``NetParameter`` of Caffe's ``caffe.proto``, with a message for
each layer: ``V1LayerParameter`` in the field ``layers`` until 2014, as in the authors' file, and
``LayerParameter`` in ``layer`` since. The layout of the weights is the canonical one: OIHW, and
(out, in) with fc6's inputs in CHW order. The network reads BGR.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import FLOAT32, Tensor
from vgg16_spec.checkpoint.tensors import mapped_view
from vgg16_spec.errors import counted
from vgg16_weights.contents import PARTS, Contents, by_name

# Of caffe.proto, the messages and fields that hold weights: message -> its fields' names, numbers
# and types; lists are in brackets. Values are declared as bytes, which a packed list of floats is
# encoded like: they are not parsed one by one.
_SCHEMA: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "BlobShape": (("dim", 1, "[INT64]"),),
    "BlobProto": (
        ("num", 1, "INT32"),
        ("channels", 2, "INT32"),
        ("height", 3, "INT32"),
        ("width", 4, "INT32"),
        ("data", 5, "[BYTES]"),
        ("shape", 7, "BlobShape"),
        ("double_data", 8, "[BYTES]"),
    ),
    "V1LayerParameter": (("layer", 1, "BYTES"), ("name", 4, "STRING"), ("blobs", 6, "[BlobProto]")),
    "LayerParameter": (("name", 1, "STRING"), ("blobs", 7, "[BlobProto]")),
    "NetParameter": (("layers", 2, "[V1LayerParameter]"), ("layer", 100, "[LayerParameter]")),
}
# The numbers of a network's fields: its name, its layers in both forms, and what may stand between.
_NAME, _LAYERS, _OTHERS = 1, frozenset({2, 100}), frozenset({3, 4, 5, 6, 7, 8})
# Far more than the files of a VGG have; each costs a message in memory.
_MOST_FIELDS: Final = 100_000
# Wire type -> size of a field that has a fixed one.
_FIXED: Final = {1: 8, 5: 4}


def begins_a_network(start: bytes) -> bool:
    """Whether a file begins as a ``NetParameter`` does: its name, its inputs, a layer."""
    try:
        for number, wire in _fields(start, len(start)):
            if number in _LAYERS:
                return wire == 2
            if not ((number == _NAME and wire == 2) or number in _OTHERS):
                return False
    except ValueError:
        pass
    return False


def _fields(data: bytes | mmap.mmap, size: int) -> Iterator[tuple[int, int]]:
    """The number and the wire type of each field of the outermost message.

    Raises:
        ValueError: This is not a protobuf message, or it has too many fields.
    """
    position = 0
    for _ in range(_MOST_FIELDS):
        if position >= size:
            return
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        yield number, wire
        if wire == 2:
            length, position = _varint(data, position)
            position += length
        elif wire == 0:
            _, position = _varint(data, position)
        elif wire in _FIXED:
            position += _FIXED[wire]
        else:
            raise ValueError(f"a field of wire type {wire} at byte {position}")
    raise ValueError(f"more than {_MOST_FIELDS} fields")


def _varint(data: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    """A number of up to ten bytes, seven bits in each, and the position after it."""
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, position + shift + 1
    raise ValueError(f"no number at byte {position}")


def read(path: Path) -> Contents:
    """The tensors of every layer with values, held in memory; no form from before V1."""
    # An empty file cannot be mapped.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in _fields(data, len(data)):
            pass
        network = _net_parameter().FromString(data[:])
    if any(layer.HasField("layer") for layer in network.layers):
        raise ValueError("it is in Caffe's form from before V1LayerParameter")
    return Contents(by_name(_tensors([*network.layers, *network.layer])))


def _tensors(layers: Sequence[Any]) -> Iterator[tuple[str, Tensor]]:
    for layer in layers:
        for number, blob in enumerate(layer.blobs):
            part = PARTS[number] if number < len(PARTS) else f"blob {number}"
            name = f"{layer.name}.{part}"
            yield name, _tensor(blob, name)


def _tensor(blob: Any, name: str) -> Tensor:
    if blob.HasField("shape"):
        shape = _canonical_shape(name, tuple(blob.shape.dim))
    else:
        shape = _canonical_shape(name, (blob.num, blob.channels, blob.height, blob.width))
    if blob.double_data:
        return Tensor(shape, "float64", lambda: np.frombuffer(blob.double_data[0], "<f8"))
    if len(blob.data) != 1:
        raise ValueError(f"the values of {name} are not in one piece")
    data = np.frombuffer(blob.data[0], np.uint8)
    if min(shape, default=0) < 1 or data.size != FLOAT32.itemsize * math.prod(shape):
        raise ValueError(f"{name} is {shape} but has {counted(data.size, 'byte')} of values")
    return Tensor(shape, "float32", partial(mapped_view, data, 0, shape))


def _canonical_shape(name: str, shape: Shape) -> Shape:
    """The shape without the leading axes of one that the older form fills up to four with."""
    rank = 1 if not name.endswith(".weight") else 2 if shape[:2] == (1, 1) else 4
    ones = 0
    while len(shape) - ones > rank and shape[ones] == 1:
        ones += 1
    return shape[ones:]


@cache
def _net_parameter() -> Any:
    """The class of the outermost message.

    It is made here, since code that protoc generates works with one or two major versions of the
    library only.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="vgg16_weights/caffe.proto", package="vgg16_caffe", syntax="proto2"
    )
    for name, rows in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in rows:
            field = message.field.add(name=field_name, number=number)
            field.label = kinds.LABEL_REPEATED if kind.startswith("[") else kinds.LABEL_OPTIONAL
            element = kind.strip("[]")
            if element.isupper():
                field.type = kinds.Type.Value(f"TYPE_{element}")
            else:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".vgg16_caffe.{element}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = pool.FindFileByName(file.name).message_types_by_name["NetParameter"]
    return message_factory.GetMessageClass(described)
