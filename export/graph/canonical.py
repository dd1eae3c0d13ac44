"""The canonical graph of a traced one: an ordered list of small passes.

No pass depends on the network. A node that the passes cannot bring to the canonical operators is
refused by name, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
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


class FoldConstants(ir.passes.InPlacePass):
    """Concat(Constant, Constant) -> Constant, for nodes that depend on no input and no weight.

    Also Identity(x) -> x, and casts to a value's own type.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold, by onnxscript's folder."""
        return fold_constants_ir(
            model,
            onnx_shape_inference=True,
            input_size_limit=_LARGEST_CONSTANT,
            output_size_limit=_LARGEST_CONSTANT,
        )


class ExplicitAttributes(ir.passes.InPlacePass):
    """Conv(x, w) -> Conv(x, w, dilations, group, kernel_shape, pads, strides), each written out

    One spelling of each operator: attributes that tools might default differently are written,
    those that make no difference here (``storage_order``, Gemm's factors of 1) are not. Automatic
    padding becomes numbers where they do not depend on the image's size: at stride 1.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite every node's attributes."""
        for node in model.graph:
            given = {name: attribute.value for name, attribute in node.attributes.items()}
            implied, neutral = dict[str, Any](), dict[str, Any]()
            match node.op_type:
                case "Conv":
                    kernel = known_sizes(node.inputs[1])[2:]
                    implied = _WINDOW | {"dilations": (1, 1), "group": 1, "kernel_shape": kernel}
                case "MaxPool" | "AveragePool":
                    implied, neutral = _WINDOW, _POOLING
                case "Gemm":
                    neutral = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
                case "Flatten":
                    implied = {"axis": 1}
            values = _without_automatic_padding(implied | given)
            kept = {k: v for k, v in sorted(values.items()) if (k, v) not in neutral.items()}
            node.attributes.clear()
            for attribute in ir.convenience.convert_attributes(kept):
                node.attributes.add(attribute)
        return ir.passes.PassResult(model, modified=True)


_WINDOW: Final[dict[str, Any]] = {"pads": (0, 0, 0, 0), "strides": (1, 1)}
_POOLING: Final[dict[str, Any]] = {
    "ceil_mode": 0,
    "count_include_pad": 0,
    "dilations": (1, 1),
    "storage_order": 0,
}


def _without_automatic_padding(values: dict[str, Any]) -> dict[str, Any]:
    """The attributes with ``pads`` as numbers; unchanged where those depend on the image's size."""
    how = values.get("auto_pad", "NOTSET")
    if how not in ("NOTSET", "VALID"):
        if tuple(values["strides"]) != (1, 1):
            return values
        dilations = values.get("dilations", (1, 1))
        totals = [(k - 1) * d for k, d in zip(values["kernel_shape"], dilations, strict=True)]
        less, more = ([t // 2 for t in totals], [t - t // 2 for t in totals])
        first, last = (less, more) if how == "SAME_UPPER" else (more, less)
        values = values | {"pads": (*first, *last)}
    elif how == "VALID":
        values = values | {"pads": (0, 0, 0, 0)}
    return {name: value for name, value in values.items() if name != "auto_pad"}


def _rules(*rules: Any, commute: bool = False) -> RewritePass:
    return RewritePass(RewriteRuleSet(rules, commute=commute))


def _stages() -> tuple[tuple[ir.passes.InPlacePass, ...], ...]:
    """The passes in order; each stage is repeated until none of its passes changes anything."""
    moves = (
        FoldConstants(),
        _rules(transpose_transpose_rule),
        _rules(remove_optional_bias_from_conv_rule, remove_optional_bias_from_gemm_rule),
        _rules(rewrites.DropRoundTrip.rule()),
        _rules(rewrites.PoolOverTwoAxes.rule()),
        _rules(rewrites.GiveConvolutionItsBias.rule(), commute=True),
        _rules(rewrites.MoveTransposeBelowRelu.rule()),
        _rules(rewrites.FlattenByName.rule()),
        _rules(rewrites.FlattenChannelsFirst.rule()),
        _rules(transpose_b_matmul_add_to_gemm_rule, commute=True),
        common.RemoveUnusedNodesPass(),
    )
    # A product without a bias by now has none.
    return moves, (_rules(rewrites.DenseWithoutBias.rule()),)


def canonicalise(model: ir.Model) -> None:
    """Bring a traced graph to the canonical operators, in place.

    Args:
        model: its inputs are the images (N, 3, H, W) and the weights, in canonical layout.

    Afterwards it consists of ``OPERATORS`` in topological order, each weight read directly by its
    node, every attribute spelled one way.

    Raises:
        ValueError: naming the first node that is not canonical.
    """
    infer_shapes(model)
    for stage in _stages():
        for _ in range(_ROUNDS):
            found = [one(model).modified for one in stage]
            if not any(found):
                break
            infer_shapes(model)
    common.TopologicalSortPass()(model)
    ExplicitAttributes()(model)
    check(model)


def infer_shapes(model: ir.Model, known: tuple[ir.Value, ir.Shape] | None = None) -> None:
    """Infer every shape anew from those of the inputs; a tracer's own shapes are not trusted.

    ``known`` is a value whose shape cannot be inferred, with its shape.
    """
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    initializers = dict(model.graph.initializers)
    if known is not None:
        value, shape = known
        value.shape, value.type = shape, ir.TensorType(ir.DataType.FLOAT)
    common.ShapeInferencePass()(model)
    for value in (*model.graph.outputs, *(value for node in model.graph for value in node.outputs)):
        # The inferrer numbers sizes that follow from free ones; the numbers mean nothing.
        if value.shape is not None and not _lasting(value.shape):
            value.shape = ir.Shape([size if _lasting([size]) else None for size in value.shape])
    # The pass puts large initializers back at the end, in another order.
    model.graph.initializers.clear()
    model.graph.initializers.update(initializers)


def _lasting(sizes: Iterable[object]) -> bool:
    return not any(str(getattr(size, "value", "")).startswith("unk__") for size in sizes)


def check(model: ir.Model) -> None:
    """Raise ``ValueError`` that names the first node that is not canonical.

    Preferably one that computes: the moves around it are usually left because of it.
    """
    left = [node for node in model.graph if node.domain or node.op_type not in OPERATORS]
    if left:
        node = next((node for node in left if node.op_type not in _MOVES), left[0])
        raise ValueError(f"{_kept(node)}; expected one of {', '.join(OPERATORS)}")
    weights = set(model.graph.inputs[1:])
    for node in model.graph:
        if "auto_pad" in node.attributes:
            raise ValueError(f"{_kept(node)} with padding that depends on the image's size")
        if len(node.outputs) != 1:
            raise ValueError(f"{_kept(node)} with {len(node.outputs)} outputs")
        if any(weight not in weights for weight in node.inputs[1:]):
            raise ValueError(
                f"{_kept(node)} with a computed weight; expected one of the checkpoint's"
            )
        if len(node.inputs) > 2 and len(known_sizes(node.inputs[2])) != 1:
            raise ValueError(f"{_kept(node)} with a bias that is no vector")


def _kept(node: ir.Node) -> str:
    return f"the traced graph keeps {node.op_type} {node.name or node.outputs[0].name}"
