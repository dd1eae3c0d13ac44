"""The ONNX operator sets that a graph can be written in, and how to write it in one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import onnx
import onnx_ir as ir

from export.constants import OPSET
from export.options import OLDEST_OPSET
from export.session import open_session
from vgg16_spec.errors import BadInput


def newest_opset() -> int:
    """The newest opset that the installed onnx knows and the installed ONNX Runtime opens.

    Without ONNX Runtime, the newest that onnx knows.
    """
    newest = int(onnx.defs.onnx_opset_version())
    if find_spec("onnxruntime") is None:
        return newest
    return next(opset for opset in range(newest, OLDEST_OPSET - 1, -1) if _opens(opset))


def check_opset(opset: int) -> None:
    """Raise ``BadInput`` for an opset that is too old or too new for what is installed."""
    if opset != OPSET and not OLDEST_OPSET <= opset <= newest_opset():
        raise BadInput("--opset", f"is {opset}", f"{OLDEST_OPSET} to {newest_opset()}")


def set_opset(model: ir.Model, opset: int) -> None:
    """Write a canonical graph in another opset, in place, with the oldest file format that has it.

    Since opset 13 its operators have only gained types.

    Raises:
        ValueError: for a node whose operator has other attributes, inputs or outputs there.
    """
    before = model.opset_imports[""]
    for node in model.graph:
        if _signature(node.op_type, opset) != _signature(node.op_type, before):
            raise ValueError(f"{node.op_type} {node.name} is another operator in opset {opset}")
    model.opset_imports.clear()  # no node is of the other domains any more
    model.opset_imports[""] = opset
    model.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])


def _signature(op_type: str, opset: int) -> Any:
    """An operator's attributes with their defaults, its inputs and its outputs."""
    schema = onnx.defs.get_schema(op_type, opset)
    attributes = {
        name: (attribute.type, attribute.default_value.SerializeToString())
        for name, attribute in schema.attributes.items()
    }
    sides = (schema.inputs, schema.outputs)
    return attributes, [[(value.name, value.option) for value in side] for side in sides]


def _opens(opset: int) -> bool:
    """Whether ONNX Runtime opens a graph of this opset."""
    version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    header = f'<ir_version: {version}, opset_import: ["" : {opset}]>'
    body = "probe (float[1] x) => (float[1] y) { y = Relu(x) }"
    try:
        open_session(onnx.parser.parse_model(f"{header} {body}").SerializeToString())
    except Exception:  # ONNX Runtime's exceptions have no base of their own
        return False
    return True
