"""The authors' own release, ``VGG_ILSVRC_16_layers.caffemodel``, and any VGG saved by Caffe.

The file is one protobuf message, ``NetParameter`` of Caffe's ``caffe.proto``, with a message for
each layer: ``V1LayerParameter`` in the field ``layers`` until 2014, which the authors' file has,
and ``LayerParameter`` in ``layer`` since. A library that parses it holds all of its 550 MB, twice.
Here only the few small fields are given to the protobuf library, with a descriptor of just these;
messages are found by their lengths, and the values, which lie packed as little-endian float32 in
one piece, stay in the mapped file. Their layout is the canonical one: OIHW, and (out, in) with
fc6's inputs in CHW order. The network reads BGR.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import Shape
from vgg16_spec.checkpoint import FLOAT32, Checkpoint, Tensor
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.layouts import Array
from vgg16_weights.formats import Format, stated_or_default
from vgg16_weights.layer_names import PIP_LINE, canonical_name, configuration_named

FORMAT: Final = Format(
    name="caffemodel",
    ending=".caffemodel",
    title="the weights of a Caffe VGG (.caffemodel)",
    writable=False,
)

# Numbers of the fields in caffe.proto: NetParameter.layers and .layer with the blobs in each,
# BlobProto.data, .double_data; what else holds many values is left out as well (.diff).
_LAYERS: Final = {2: 6, 100: 7}
_LAYER_NAME: Final = {2: 4, 100: 1}
_V1, _OLDEST_LAYER, _LAST_BEFORE_LAYER = 2, 1, 8
_DATA, _DOUBLE_DATA, _MANY_VALUES = 5, 8, frozenset({5, 6, 8, 9})
# Wire types of protobuf's encoding: a number, bytes with their length; of a fixed size.
_NUMBER, _BYTES = 0, 2
_FIXED: Final = {1: 8, 5: 4}
# Far more than the files of a VGG have: a crafted file could keep a loop in Python busy for hours.
_MOST_FIELDS: Final = 100_000
_MOST_SMALL_BYTES: Final = 1 << 20
_PARTS: Final = ("weight", "bias")


class _Field(NamedTuple):
    """One field of a message: its number and wire type, where it begins, and its content."""

    number: int
    wire: int
    begin: int
    start: int
    end: int


class _Blob(NamedTuple):
    """An array in the file: its shape, type and first byte."""

    shape: Shape
    dtype: str
    start: int


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether the file begins as a ``NetParameter`` does: with a name, or a layer with a name."""
    walk = _Walk(np.frombuffer(start, np.uint8))
    try:
        for field in walk.fields(0, len(start), cut=True):
            if field.number in _LAYERS and field.wire == _BYTES:
                inner = walk.fields(field.start, field.end, cut=True)
                names = (_LAYER_NAME[field.number], _OLDEST_LAYER)
                return any(part.number in names and part.wire == _BYTES for part in inner)
            if field.number > _LAST_BEFORE_LAYER:
                return False
    except ValueError:
        pass
    return False


def read(path: Path) -> Checkpoint:
    """The weights of a Caffe VGG as a checkpoint; its tensors are views into the mapped file.

    The recipe is the authors': ``caffe``.

    Raises ``BadInput`` for a file that is missing, truncated, of another kind, in the form from
    before V1 or with float64 values, and that lists every tensor that does not fit.
    """
    require_file(path, FORMAT.title)
    if find_spec("google") is None or find_spec("google.protobuf") is None:
        raise BadInput(path, "needs protobuf, which is not installed", PIP_LINE)
    try:
        # An empty file cannot be mapped.
        mapped = np.memmap(path, np.uint8, mode="r")
        stored = _blobs(mapped, path)
    except BadInput:
        raise
    except (ValueError, IndexError, OSError, OverflowError) as error:
        raise BadInput(path, f"not a readable caffemodel ({error})", FORMAT.title) from error
    shapes = {name: blob.shape for name, blob in stored.items()}
    configuration = configuration_named(shapes, str(path))
    tensors = {
        name: Tensor(blob.shape, blob.dtype, _reader(mapped, blob)) for name, blob in stored.items()
    }
    metadata = stated_or_default(None, path, FORMAT, "caffe")
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def _reader(mapped: Array, blob: _Blob) -> Callable[[], NDArray[np.float32]]:
    end = blob.start + FLOAT32.itemsize * math.prod(blob.shape)
    return lambda: mapped[blob.start : end].view(FLOAT32).reshape(blob.shape)


def _blobs(data: Array, path: Path) -> dict[str, _Blob]:
    """Canonical tensor name -> where it is, of every layer with values."""
    found: dict[str, _Blob] = {}
    walk = _Walk(data)
    for outer in walk.fields(0, len(data)):
        if outer.number not in _LAYERS or outer.wire != _BYTES:
            continue
        blobs: list[_Field] = []
        others: list[_Field] = []
        for field in walk.fields(outer.start, outer.end):
            is_blob = (field.number, field.wire) == (_LAYERS[outer.number], _BYTES)
            (blobs if is_blob else others).append(field)
        kind = "V1LayerParameter" if outer.number == _V1 else "LayerParameter"
        if outer.number == _V1 and any(field.number == _OLDEST_LAYER for field in others):
            raise BadInput(path, f"is in Caffe's form from before {kind}", FORMAT.title)
        text = walk.parsed(others, kind).name if blobs else ""
        if not isinstance(text, str):  # what the library gives where it is none
            raise BadInput(path, f"a layer's name is {text!r}", FORMAT.title)
        layer = canonical_name(text)
        for number, blob in enumerate(blobs):
            part = _PARTS[number] if number < len(_PARTS) else f"blob {number}"
            name = f"{layer}.{part}"
            if name in found:
                raise BadInput(path, f"holds {name} twice", FORMAT.title)
            found[name] = _blob(walk, blob, name, path)
    return found


def _blob(walk: _Walk, outer: _Field, name: str, path: Path) -> _Blob:
    fields = list(walk.fields(outer.start, outer.end))
    proto = walk.parsed([f for f in fields if f.number not in _MANY_VALUES], "BlobProto")
    if proto.HasField("shape"):
        shape = tuple(int(size) for size in proto.shape.dim)
    else:
        shape = (proto.num, proto.channels, proto.height, proto.width)
    shape = _canonical_shape(name, shape)
    if any(field.number == _DOUBLE_DATA for field in fields):
        return _Blob(shape, "float64", 0)
    pieces = [field for field in fields if field.number == _DATA]
    if len(pieces) != 1 or pieces[0].wire != _BYTES:
        raise BadInput(path, f"the values of {name} are not in one piece", FORMAT.title)
    size = pieces[0].end - pieces[0].start
    if min(shape, default=0) < 1 or size != FLOAT32.itemsize * math.prod(shape):
        raise BadInput(path, f"{name} is {shape} but has {size} bytes of values", FORMAT.title)
    return _Blob(shape, "float32", pieces[0].start)


def _canonical_shape(name: str, shape: Shape) -> Shape:
    """The shape without the leading axes of one that the older form fills up to four with."""
    rank = 1 if not name.endswith(".weight") else 4 if "_conv" in name else 2
    while len(shape) > rank and shape[0] == 1:
        shape = shape[1:]
    return shape


class _Walk:
    """Messages in a file's bytes, by protobuf's encoding."""

    def __init__(self, data: Array) -> None:
        self._data = data
        self._left = _MOST_FIELDS

    def fields(self, start: int, end: int, *, cut: bool = False) -> Iterator[_Field]:
        """The fields of the message between two bytes.

        With ``cut`` only the beginning of the file is at hand, and the last field may end later.

        Raises ``ValueError`` where it is no message, or one of too many fields.
        """
        position = start
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"more than {_MOST_FIELDS} fields")
            begin = position
            key, position = self._number(position, end)
            number, wire = key >> 3, key & 7
            content = position
            if wire == _NUMBER:
                _, after = self._number(position, end)
            elif wire in _FIXED:
                after = content + _FIXED[wire]
            elif wire == _BYTES:
                length, content = self._number(position, end)
                after = content + length
            else:
                raise ValueError(f"a field of wire type {wire} at byte {begin}")
            if cut:
                yield _Field(number, wire, begin, content, min(after, end))
            elif not number or after > end:
                raise ValueError(f"the field at byte {begin} does not fit in its message")
            else:
                yield _Field(number, wire, begin, content, after)
            position = after

    def parsed(self, fields: list[_Field], kind: str) -> Any:
        """A message of these fields alone, parsed by the protobuf library.

        Raises ``ValueError`` where it cannot be.
        """
        if sum(field.end - field.begin for field in fields) > _MOST_SMALL_BYTES:
            raise ValueError(f"a {kind} of more than {_MOST_SMALL_BYTES} bytes beside its values")
        from google.protobuf.message import DecodeError

        message = _messages()[kind]()
        try:
            message.ParseFromString(b"".join(self._data[f.begin : f.end].data for f in fields))
        except DecodeError as error:
            raise ValueError(str(error)) from error
        return message

    def _number(self, position: int, end: int) -> tuple[int, int]:
        """A number in protobuf's variable length, seven bits a byte, and the byte after it."""
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                break
            byte = int(self._data[position])
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise ValueError(f"no number before byte {position}")


@cache
def _messages() -> dict[str, Any]:
    """The messages of caffe.proto with the fields that are needed, by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="vgg16/caffe_part.proto", package="vgg16_caffe", syntax="proto2"
    )
    table: dict[str, tuple[tuple[str, int, int, int], ...]] = {
        "BlobShape": (("dim", 1, kinds.TYPE_INT64, kinds.LABEL_REPEATED),),
        "BlobProto": (
            ("num", 1, kinds.TYPE_INT32, kinds.LABEL_OPTIONAL),
            ("channels", 2, kinds.TYPE_INT32, kinds.LABEL_OPTIONAL),
            ("height", 3, kinds.TYPE_INT32, kinds.LABEL_OPTIONAL),
            ("width", 4, kinds.TYPE_INT32, kinds.LABEL_OPTIONAL),
            ("shape", 7, kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL),
        ),
        "V1LayerParameter": (("name", 4, kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),),
        "LayerParameter": (("name", 1, kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),),
    }
    for name, rows in table.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label in rows:
            field = message.field.add(name=field_name, number=number, type=kind, label=label)
            if kind == kinds.TYPE_MESSAGE:
                field.type_name = ".vgg16_caffe.BlobShape"
    pool = descriptor_pool.DescriptorPool()
    described = pool.Add(file) or pool.FindFileByName(file.name)
    return {
        name: message_factory.GetMessageClass(described.message_types_by_name[name])
        for name in table
    }
