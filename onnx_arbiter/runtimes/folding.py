"""Models whose weights are constants, for programs that take no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model in which what is computed from constants alone is a constant.

    PyTorch's exporter has biases that nodes compute. Outputs that are then constants themselves are
    left out.
    """
    import onnx_ir as ir
    from onnxscript import optimizer

    made = ir.from_proto(model)
    optimizer.fold_constants(made)
    outputs = made.graph.outputs
    outputs[:] = [value for value in outputs if value.producer() is not None]
    optimizer.remove_unused_nodes(made)
    for node in made.graph:
        # Some take an input that is left out by an empty name for one that is computed.
        while node.inputs and node.inputs[-1] is None:
            node.resize_inputs(len(node.inputs) - 1)
    return ir.to_proto(made)
