"""The canonical graph of a traced one: an ordered list of small passes.

No pass depends on the network. A node that the passes cannot bring to the canonical operators is
refused by name, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RewritePass, RewriteRuleSet
from onnxscript.rewriter.rules.common import (
    remove_optional_bias_from_conv_rule,
    remove_optional_bias_from_gemm_rule,
    transpose_b_matmul_add_to_gemm_rule,
    transpose_transpose_rule,
)

from export.graph import rewrites
from export.graph.rewrites import known_sizes

# The operators after the passes; any other is refused.
OPERATORS: Final = ("Conv", "Relu", "MaxPool", "AveragePool", "Flatten", "Gemm")

# Often left over only because of another node that is not canonical.
_MOVES: Final = ("Constant", "Identity", "Cast", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# Larger constants are weights, which are never computed with.
_LARGEST_CONSTANT: Final = 1 << 16
# Each round moves a transpose past at least one more node of the longest configuration.
_ROUNDS: Final = 64


def fold_constants(model: ir.Model) -> ir.passes.PassResult:
    """Concat(Constant, Constant) -> Constant, for nodes that depend on no input and no weight.

    Also Identity(x) -> x, and casts to a value's own type.
    """
    return fold_constants_ir(
        model,
        onnx_shape_inference=True,
        input_size_limit=_LARGEST_CONSTANT,
        output_size_limit=_LARGEST_CONSTANT,
    )


def write_attributes(model: ir.Model) -> None:
    """Conv(x, w) -> Conv(x, w, dilations, group, kernel_shape, pads, strides), each written out

    One spelling of each operator: attributes that tools might default differently are written,
    those that make no difference here (``storage_order``, Gemm's factors of 1) are not. Automatic
    padding becomes numbers where they do not depend on the image's size: at stride 1.
    """
    for node in model.graph:
        values = _WRITTEN.get(node.op_type, {})
        if node.op_type == "Conv":
            values = values | {"kernel_shape": known_sizes(node.inputs[1])[2:]}
        values = values | {name: attribute.value for name, attribute in node.attributes.items()}
        values = _without_automatic_padding(values)
        left_out = _LEFT_OUT.get(node.op_type, {}).items()
        kept = {
            name: value for name, value in sorted(values.items()) if (name, value) not in left_out
        }
        node.attributes.clear()
        for attribute in ir.convenience.convert_attributes(kept):
            node.attributes.add(attribute)


_WINDOW: Final = {"pads": (0, 0, 0, 0), "strides": (1, 1)}
_WRITTEN: Final[dict[str, dict[str, Any]]] = {
    "Conv": _WINDOW | {"dilations": (1, 1), "group": 1},
    "MaxPool": _WINDOW,
    "AveragePool": _WINDOW,
    "Flatten": {"axis": 1},
}
_POOLING: Final = {"ceil_mode": 0, "count_include_pad": 0, "dilations": (1, 1), "storage_order": 0}
_LEFT_OUT: Final[dict[str, dict[str, Any]]] = {
    "MaxPool": _POOLING,
    "AveragePool": _POOLING,
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
}


def _without_automatic_padding(values: dict[str, Any]) -> dict[str, Any]:
    """The attributes with ``pads`` as numbers; unchanged where those depend on the image's size."""
    how = values.get("auto_pad", "NOTSET")
    if how.startswith("SAME"):
        if tuple(values["strides"]) != (1, 1):
            return values
        dilations = values.get("dilations", (1, 1))
        totals = [(k - 1) * d for k, d in zip(values["kernel_shape"], dilations, strict=True)]
        less, more = ([t // 2 for t in totals], [t - t // 2 for t in totals])
        values = values | {"pads": (*less, *more) if how == "SAME_UPPER" else (*more, *less)}
    elif how == "VALID":
        values = values | {"pads": (0, 0, 0, 0)}
    return {name: value for name, value in values.items() if name != "auto_pad"}


def _stages() -> tuple[tuple[Callable[[ir.Model], ir.passes.PassResult], ...], ...]:
    """The passes in order; each stage is repeated until none of its passes changes anything."""
    rules = RewriteRuleSet(
        [
            transpose_transpose_rule,
            remove_optional_bias_from_conv_rule,
            remove_optional_bias_from_gemm_rule,
            rewrites.DropRoundTrip.rule(),
            rewrites.PoolOverTwoAxes.rule(),
            rewrites.GiveConvolutionItsBias.rule(),
            rewrites.MoveTransposeBelowRelu.rule(),
            rewrites.FlattenByName.rule(),
            rewrites.FlattenChannelsFirst.rule(),
            transpose_b_matmul_add_to_gemm_rule,
        ],
        commute=True,
    )
    # A product without a bias by then has none.
    last = RewriteRuleSet([rewrites.DenseWithoutBias.rule()])
    return (fold_constants, RewritePass(rules), common.RemoveUnusedNodesPass()), (
        RewritePass(last),
    )


def canonicalise(model: ir.Model) -> None:
    """Bring a traced graph to the canonical operators, in place.

    Its inputs are the images (N, 3, H, W) and the weights, in canonical layout. Afterwards it
    consists of ``OPERATORS`` in topological order, each weight read directly by its node, every
    attribute spelled one way.

    Raises:
        ValueError: naming the first node that is not canonical.
    """
    infer_shapes(model)
    for stage in _stages():
        for _ in range(_ROUNDS):
            changes = [change(model).modified for change in stage]
            if not any(changes):
                break
            infer_shapes(model)
    common.TopologicalSortPass()(model)
    write_attributes(model)
    check(model)


def infer_shapes(model: ir.Model, known: tuple[ir.Value, ir.Shape] | None = None) -> None:
    """Infer every shape anew from those of the inputs; a tracer's own shapes are not trusted.

    ``known`` is a value whose shape cannot be inferred, with its shape.
    """
    values = [value for node in model.graph for value in node.outputs]
    for value in values:
        value.shape = None
    initializers = dict(model.graph.initializers)
    if known is not None:
        value, shape = known
        value.shape, value.type = shape, ir.TensorType(ir.DataType.FLOAT)
    common.ShapeInferencePass()(model)
    for value in values:
        # The inferrer numbers sizes that follow from free ones; the numbers mean nothing.
        sizes = [None if str(size).startswith("unk__") else size for size in value.shape or ()]
        value.shape = value.shape and ir.Shape(sizes)
    # The pass puts large initializers back at the end, in another order.
    model.graph.initializers.clear()
    model.graph.initializers.update(initializers)


def check(model: ir.Model) -> None:
    """Raise ``ValueError`` that names the first node that is not canonical.

    Preferably one that computes: the moves around it are usually left because of it.
    """
    left = [node for node in model.graph if node.domain or node.op_type not in OPERATORS]
    if left:
        node = min(left, key=lambda node: node.op_type in _MOVES)
        raise ValueError(f"{_kept(node)}; expected one of {', '.join(OPERATORS)}")
    weights = set(model.graph.inputs[1:])
    for node in model.graph:
        if "auto_pad" in node.attributes:
            raise ValueError(f"{_kept(node)} with padding that depends on the image's size")
        if len(node.outputs) != 1:
            raise ValueError(f"{_kept(node)} with {len(node.outputs)} outputs")
        if any(weight not in weights for weight in node.inputs[1:]):
            expected = "one of the checkpoint's"
            raise ValueError(f"{_kept(node)} with a computed weight; expected {expected}")
        if len(node.inputs) > 2 and len(known_sizes(node.inputs[2])) != 1:
            raise ValueError(f"{_kept(node)} with a bias that is not a vector")


def _kept(node: ir.Node) -> str:
    return f"the traced graph keeps {node.op_type} {node.name or node.outputs[0].name}"
