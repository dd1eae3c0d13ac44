"""Open any ONNX file without reading anything outside its folder.

A model may keep its weights in files, each given by a path, an offset and a length. None of them is
trusted: all are checked against the file system before a byte is read. (onnx's checker looks at the
path alone, onnx_ir at the path when the tensor is read.)
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, TypeVar

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.files.text import is_utf8
from vgg16_spec.text import one_line

Kind = TypeVar("Kind")

_EXPECTED: Final = "an ONNX model (.onnx)"
# What ONNX's checker says of what is mended.
_MENDED: Final = ("topologically sorted", "Field 'shape' of 'type' is required")
# What one protobuf message can hold; larger models keep their weights in files beside them.
_LARGEST_MESSAGE: Final = 2**31
# As many digits as the largest file offset has.
_NUMBER: Final = re.compile("[0-9]{1,19}")
# With every call of a local function put in its place. VGG16 has 40 to 500, NASNet 2,000.
_MOST_NODES: Final = 10_000
# The fields of a tensor that hold numbers one by one.
_NUMBER_FIELDS: Final = ("float_data", "double_data", "int32_data", "int64_data", "uint64_data")
_COMPLEX: Final = ("COMPLEX64", "COMPLEX128")
# Of text from an untrusted file, in messages.
_LONGEST_NAME: Final = 200


def not_onnx(path: Path, problem: str = "") -> BadInput:
    """The refusal of a file that is no ONNX model."""
    return BadInput(path, problem or "not an ONNX model, or a damaged one", _EXPECTED)


def open_model(
    path: str | os.PathLike[str], not_onnx: Callable[[Path, str], BadInput] = not_onnx
) -> ir.Model:
    """Open an ONNX file, whoever wrote it.

    Weights in files beside it are mapped into memory on demand; those inside it are views of the
    file's bytes. Calls of the model's local functions are inlined.

    Args:
        path: the file.
        not_onnx: makes the refusal of a file that is no model, from its path and the problem.

    Raises:
        BadInput: for a file that is missing, empty or not a valid ONNX model, for one of too many
            nodes or of sparse weights, and for a tensor whose data file is missing, too short, or
            not in the model's folder.
    """
    path = require_file(path, _EXPECTED)
    require_text(path)
    if not (size := path.stat().st_size):
        raise BadInput(path, "is empty", _EXPECTED)
    if size >= _LARGEST_MESSAGE:
        raise BadInput(path, f"is {size:,} bytes", f"{_EXPECTED} of less than 2 GiB")
    model = _parse(path, not_onnx)
    if (nodes := _inlined_nodes(model)) > _MOST_NODES:
        problem = f"has {nodes:,} nodes" + (", functions inlined" if model.functions else "")
        raise BadInput(path, problem, f"{_EXPECTED} of at most {_MOST_NODES:,}")
    for message in _all(model, onnx.GraphProto):
        for sparse in message.sparse_initializer:  # onnx_ir would leave them out
            problem = f"the tensor {printable(sparse.values.name)} is stored as a sparse one"
            raise BadInput(path, problem, f"{_EXPECTED} whose weights are dense")
    for tensor in _all(model, onnx.TensorProto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_external(path, tensor)
        else:
            _check_embedded(path, tensor)
    try:
        opened: ir.Model = ir.from_proto(model)
        _check(path, opened)
        for graph in (opened.graph, *(function.graph for function in opened.functions.values())):
            ir.external_data.set_base_dir(graph, path.parent)
        if opened.functions:
            InlinePass()(opened)
    except Exception as error:  # the checker and the reader share no base for their refusals
        reason = printable((str(error).strip() or type(error).__name__).splitlines()[0])
        raise BadInput(path, f"not a valid ONNX model ({reason})", _EXPECTED) from error
    return opened


def _check(path: Path, opened: ir.Model) -> None:
    """Let ONNX's checker look at a file, again with what runtimes accept and it does not mended.

    Tools that put nodes into a graph may leave them unsorted, and runtimes sort them. Exporters may
    leave out the shape of an input or output.
    """
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        if not any(known in str(error) for known in _MENDED):
            raise
        opened.graph.sort()
        model = ir.to_proto(opened)
        for value in (*model.graph.input, *model.graph.output):
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.shape.SetInParent()
        # The checker would look for data files, which have been checked, in the current folder.
        for tensor in _all(model, onnx.TensorProto):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                tensor.ClearField("data_location")
                tensor.ClearField("external_data")
                tensor.dims[:] = [0]
        onnx.checker.check_model(model)


def printable(text: str) -> str:
    """Text from an untrusted file, as one short line that does nothing to a terminal."""
    line = one_line(text)
    return line if len(line) <= _LONGEST_NAME else f"{line[:_LONGEST_NAME]}…"


def require_text(path: Path) -> None:
    """Raise ``BadInput`` for a path that is no text: ONNX's checker and its runtime open none."""
    if not is_utf8(path):
        problem = "its path is not UTF-8, as ONNX's checker and ONNX Runtime need it"
        raise BadInput(path, problem, "another name")


def _parse(path: Path, not_onnx: Callable[[Path, str], BadInput]) -> onnx.ModelProto:
    try:
        # The content decides, not the name: `.json` would be read as JSON.
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", _EXPECTED) from error
    except Exception as error:  # protobuf's parsers differ in what they raise
        raise not_onnx(path, "") from error
    if not model.graph.input or not model.graph.output:
        # Protobuf skips unknown fields: a file of another kind may parse as an empty model.
        raise not_onnx(path, "holds no graph with an input and an output")
    return model


def _all(message: Any, kind: type[Kind]) -> Iterator[Kind]:
    """Every message of a kind in a message: in attributes, subgraphs and functions too."""
    if isinstance(message, kind):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in (value,) if hasattr(value, "ListFields") else value:
                yield from _all(child, kind)


def _inlined_nodes(model: onnx.ModelProto) -> int:
    """How many nodes a graph has when calls of the model's own functions are inlined.

    A function that calls itself counts as one node: that is refused by those who read the graph.
    """
    called = {
        (function.domain, function.name, function.overload): list(_operators(function))
        for function in model.functions
    }
    sizes: dict[tuple[str, str, str], int] = {}
    with suppress(CycleError):
        for operator in TopologicalSorter(called).static_order():
            sizes[operator] = sum(sizes[inner] for inner in called.get(operator, ())) or 1
    return sum(sizes.get(operator, 1) for operator in _operators(model.graph))


def _operators(message: Any) -> Iterator[tuple[str, str, str]]:
    """What identifies the operator or function that each node in a message calls."""
    return ((n.domain, n.op_type, n.overload) for n in _all(message, onnx.NodeProto))


def _check_external(path: Path, tensor: onnx.TensorProto) -> None:
    """Raise ``BadInput`` unless a tensor's bytes are all in a file of the model's folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    what = f"the tensor {printable(tensor.name)}"
    data = _data_file(path, what, entries.get("location", ""))
    needed = _bytes_of(path, what, tensor)
    stated = {"offset": "0", "length": str(needed)} | entries
    for key in ("offset", "length"):
        if not _NUMBER.fullmatch(stated[key]):
            problem = f"{what} has the {key} {stated[key][:40]!r}"
            raise BadInput(path, problem, "a number of bytes, 0 or more")
    offset, length = int(stated["offset"]), int(stated["length"])
    if length != needed:
        problem = f"{what} of shape {tuple(tensor.dims)} has the length {length:,}"
        raise BadInput(path, problem, f"{needed:,} bytes")
    end, size = offset + needed, data.stat().st_size
    if end > size:
        problem = f"{what} ends at byte {end:,} of {data.name}, which has {size:,}"
        raise BadInput(path, problem, "a data file that is whole")


def _check_embedded(path: Path, tensor: onnx.TensorProto) -> None:
    """Raise ``BadInput`` unless a tensor has as many values as its shape says."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    what = f"the tensor {printable(tensor.name)}"
    needed = _bytes_of(path, what, tensor)
    found, unit = len(tensor.raw_data), "bytes"
    if not tensor.HasField("raw_data"):
        # Numbers of less than a byte share one; a complex number is two.
        kind, unit = ir.DataType(tensor.data_type), "numbers"
        count = math.prod(map(int, tensor.dims))
        needed = needed if kind.bitwidth < 8 else count * (2 if kind.name in _COMPLEX else 1)
        found = sum(len(getattr(tensor, field)) for field in _NUMBER_FIELDS)
    if found != needed:
        problem = f"{what} of shape {tuple(tensor.dims)} has {found:,} {unit}"
        raise BadInput(path, problem, f"{needed:,}")


def _data_file(path: Path, what: str, location: str) -> Path:
    """The file at a location. Raises ``BadInput`` unless it is in the model's folder."""
    expected = "a file in the model's folder"
    ways = (PurePosixPath(location), PureWindowsPath(location))
    if not location or "\0" in location:
        raise BadInput(path, f"{what} names no data file", expected)
    if any(way.is_absolute() or way.drive or way.root or ".." in way.parts for way in ways):
        raise BadInput(path, f"{what} is to be read from {location!r}", expected)
    folder = path.parent.resolve()
    try:
        data = (folder / location).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a link that leads to itself, too
        raise BadInput(path, f"its data file {location!r} is missing", expected) from error
    if not data.is_relative_to(folder):
        raise BadInput(path, f"its data file {location!r} is a link out of the folder", expected)
    if not data.is_file():
        raise BadInput(path, f"its data file {location!r} is not a regular file", expected)
    return data


def _bytes_of(path: Path, what: str, tensor: onnx.TensorProto) -> int:
    """How many bytes a tensor's shape and type take."""
    try:
        bits = int(ir.DataType(tensor.data_type).bitwidth)
    except (TypeError, ValueError) as error:  # a type that does not exist, or text
        problem = f"{what} has the type {tensor.data_type}, which no data file can hold"
        raise BadInput(path, problem, "numbers") from error
    if any(size < 0 for size in tensor.dims):
        raise BadInput(path, f"{what} has the shape {tuple(tensor.dims)}", "sizes of 0 or more")
    return (math.prod(map(int, tensor.dims)) * bits + 7) // 8
