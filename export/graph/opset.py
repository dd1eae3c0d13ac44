"""Which ONNX operator sets a graph can be written in, and writing it in one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import onnx_ir as ir

from export.constants import OPSET
from export.options import OLDEST_OPSET
from vgg16_spec.errors import BadInput


def newest_opset() -> int:
    """The newest opset that the installed onnx knows and the installed ONNX Runtime opens.

    Without ONNX Runtime, the newest that onnx knows.
    """
    import onnx

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

    Its operators have gained types since opset 13, and nothing else; that each has the same
    attributes, inputs and outputs in both is looked up, not taken for granted.

    Raises ``ValueError`` that names a node whose operator differs.
    """
    import onnx

    before = model.opset_imports[""]
    for node in model.graph:
        if _signature(node.op_type, opset) != _signature(node.op_type, before):
            raise ValueError(f"{node.op_type} {node.name} is another operator in opset {opset}")
    model.opset_imports.clear()  # of the domains that no node is of any more, too
    model.opset_imports[""] = opset
    model.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])


def _signature(op_type: str, opset: int) -> Any:
    """An operator's attributes with their defaults, its inputs and its outputs."""
    import onnx

    schema = onnx.defs.get_schema(op_type, opset)
    attributes = {
        name: (attribute.type, attribute.default_value.SerializeToString())
        for name, attribute in schema.attributes.items()
    }
    values = [
        [(value.name, value.option) for value in side] for side in (schema.inputs, schema.outputs)
    ]
    return attributes, values


def _opens(opset: int) -> bool:
    """Whether ONNX Runtime opens a graph of this opset."""
    import onnx
    import onnxruntime
    from onnx import helper

    edges = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "probe", edges[:1], edges[1:]
    )
    imports = [helper.make_opsetid("", opset)]
    version = helper.find_min_ir_version_for(imports)
    model = helper.make_model(graph, opset_imports=imports, ir_version=version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a refusal is an answer here
    try:
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception:  # whatever ONNX Runtime raises for what it does not know
        return False
    return True
