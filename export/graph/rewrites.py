"""The rewrites of canonicalisation, one small class each.

``pattern`` returns the nodes that a class replaces, ``objection`` a reason to leave them,
``rewrite`` the nodes in their place. The docstring shows both. No rewrite depends on the network.
"""

from __future__ import annotations

import math
from typing import Any, Final

import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRuleClassBase

_TO_CHANNELS_FIRST: Final = (0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
_TO_CHANNELS_LAST: Final = (0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)


class Rewrite(RewriteRuleClassBase):
    """A rule whose match holds unless it has an objection."""

    def check(self, context: Any, **values: ir.Value) -> MatchResult:
        result, reason = MatchResult(), self.objection(**values)
        return result.fail(reason) if reason else result

    def objection(self, **_: Any) -> str:
        """Why the nodes that the pattern fits stay; empty where they do not."""
        return ""


class MoveTransposeBelowRelu(Rewrite):
    """Relu(Transpose(x)) -> Transpose(Relu(x)), until transposes meet and cancel."""

    def pattern(self, op: Any, x: Any, perm: Any) -> Any:
        return op.Relu(op.Transpose(x, perm=perm))

    def rewrite(self, op: Any, x: ir.Value, perm: ir.Attr) -> Any:
        return op.Transpose(op.Relu(x), perm=perm)


class GiveConvolutionItsBias(Rewrite):
    """Add(Transpose(Conv(x, w)), Reshape(b, [1, 1, 1, C])) -> Transpose(Conv(x, w, b))

    The transpose is (N, C, H, W) -> (N, H, W, C).
    """

    def pattern(self, op: Any, x: Any, w: Any, b: Any, shape: Any) -> Any:
        convolution = op.Conv(x, w, _outputs=["convolution"])
        return op.Add(op.Transpose(convolution, perm=_TO_CHANNELS_LAST), op.Reshape(b, shape))

    def objection(self, w: ir.Value, b: ir.Value, shape: ir.Value, **_: Any) -> str:
        channels = known_sizes(w)[:1]
        if not channels or known_sizes(b) != channels:
            return "what is added is not one value for each output channel"
        if _numbers(shape) != (1, 1, 1, *channels):
            return "what is added does not lie along the channels"
        return ""

    def rewrite(
        self, op: Any, x: ir.Value, w: ir.Value, b: ir.Value, convolution: ir.Value, **_: Any
    ) -> Any:
        biased = op.Conv(x, w, b, **_producer(convolution).attributes)
        return op.Transpose(biased, perm=_TO_CHANNELS_LAST)


class PoolOverTwoAxes(Rewrite):
    """Squeeze(MaxPool(Unsqueeze(Unsqueeze(x)))) -> Transpose(MaxPool(Transpose(x)))

    Pooling over the last four axes of (1, 1, N, H, W, C), in windows of one image and one channel,
    becomes pooling over height and width of (N, C, H, W).
    """

    def pattern(self, op: Any, x: Any, first: Any, second: Any, axes: Any) -> Any:
        raised = op.Unsqueeze(op.Unsqueeze(x, first), second)
        return op.Squeeze(op.MaxPool(raised, _outputs=["pooled"]), axes)

    def objection(
        self, pooled: ir.Value, first: ir.Value, second: ir.Value, axes: ir.Value, **_: Any
    ) -> str:
        added = (_numbers(first), _numbers(second))
        if added not in (((0,), (0,)), ((0,), (1,))) or _numbers(axes) != (0, 1):
            return "the axes added and removed are not the first two"
        node = _producer(pooled)
        if set(node.attributes) - {*_NEUTRAL_WINDOW, "ceil_mode"}:
            return "the pooling has attributes that this rule does not know"
        if len(_integers(node, "kernel_shape")) != 4:
            return "the pooling is not over four axes"
        for name, neutral in _NEUTRAL_WINDOW.items():
            sizes = _integers(node, name) or (neutral,) * 4
            if {sizes[0], sizes[3], sizes[-4], sizes[-1]} != {neutral}:
                return "the pooling's windows take in several images or channels"
        return ""

    def rewrite(self, op: Any, x: ir.Value, pooled: ir.Value, **_: Any) -> Any:
        node = _producer(pooled)
        attributes: dict[str, Any] = dict(node.attributes)
        for name in _NEUTRAL_WINDOW:
            if sizes := _integers(node, name):  # of four axes, or before and after each
                attributes[name] = (*sizes[1:3], *sizes[5:7])
        maps = op.MaxPool(op.Transpose(x, perm=_TO_CHANNELS_FIRST), **attributes)
        return op.Transpose(maps, perm=_TO_CHANNELS_LAST)


_NEUTRAL_WINDOW: Final = {"kernel_shape": 1, "strides": 1, "pads": 0, "dilations": 1}


class DropRoundTrip(Rewrite):
    """Squeeze(Reshape(x)) -> x, where the shape is x's own again."""

    def pattern(self, op: Any, x: Any, shape: Any) -> Any:
        reshaped = op.Reshape(x, shape)
        return op.Squeeze(reshaped, _allow_other_inputs=True, _outputs=["result"])

    def objection(self, x: ir.Value, result: ir.Value, **_: Any) -> str:
        unchanged = known_sizes(x) and known_sizes(x) == known_sizes(result)
        return "" if unchanged else "the shape is not what it was"

    def rewrite(self, op: Any, x: ir.Value, **_: Any) -> Any:
        return op.Identity(x)


class FlattenChannelsFirst(Rewrite):
    """Flatten(Transpose(x)) @ Reshape(Transpose(Reshape(w, OCHW), HWCO), [HWC, O])
    -> Flatten(x) @ Transpose(w)

    Both operands of the product have C, H, W in the order H, W, C, which changes no sum.
    """

    def pattern(self, op: Any, x: Any, w: Any, maps: Any, rows: Any) -> Any:
        features = op.Flatten(op.Transpose(x, perm=_TO_CHANNELS_LAST), axis=1)
        kernel = op.Transpose(op.Reshape(w, maps), perm=(2, 3, 1, 0))
        return op.MatMul(features, op.Reshape(kernel, rows))

    def objection(self, x: ir.Value, w: ir.Value, maps: ir.Value, rows: ir.Value) -> str:
        outputs, feature_shape = known_sizes(w)[:1], known_sizes(x, start=1)
        features = math.prod(feature_shape)
        if len(feature_shape) != 3:
            return "the input of Flatten is not a feature map"
        if len(known_sizes(w)) != 2:
            return "the weight is not a matrix"
        if _numbers(maps) != (*outputs, *feature_shape) or _numbers(rows) != (features, *outputs):
            return "the weight's rows are not in the order of the maps"
        return ""

    def rewrite(self, op: Any, x: ir.Value, w: ir.Value, **_: Any) -> Any:
        return op.MatMul(op.Flatten(x, axis=1), op.Transpose(w, perm=(1, 0)))


class FlattenByName(Rewrite):
    """Reshape(x, [N, CHW]) -> Flatten(x)"""

    def pattern(self, op: Any, x: Any, shape: Any) -> Any:
        return op.Reshape(x, shape, _outputs=["result"])

    def objection(self, x: ir.Value, result: ir.Value, **_: Any) -> str:
        features = known_sizes(x, start=1)
        # With the second of two sizes known, the number of values fixes the first.
        if (
            not features
            or result.shape is None
            or len(result.shape) != 2
            or result.shape[1] != math.prod(features)
        ):
            return "the shape is not (N, all of an image's values)"
        return ""

    def rewrite(self, op: Any, x: ir.Value, **_: Any) -> Any:
        return op.Flatten(x, axis=1)


class DenseWithoutBias(Rewrite):
    """MatMul(x, Transpose(w)) -> Gemm(x, w, transB=1)"""

    def pattern(self, op: Any, x: Any, w: Any) -> Any:
        return op.MatMul(x, op.Transpose(w, perm=(1, 0)))

    def objection(self, x: ir.Value, w: ir.Value) -> str:
        matrices = x.shape is not None and len(x.shape) == len(known_sizes(w)) == 2
        return "" if matrices else "an operand is not a matrix"

    def rewrite(self, op: Any, x: ir.Value, w: ir.Value) -> Any:
        return op.Gemm(x, w, transB=1)


def known_sizes(value: ir.Value | None, start: int = 0) -> tuple[int, ...]:
    """The known sizes of a value's axes from ``start`` on; none where one is not known."""
    sizes = () if value is None or value.shape is None else tuple(value.shape)[start:]
    known = tuple(size for size in sizes if isinstance(size, int))
    return known if len(known) == len(sizes) else ()


def _producer(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None
    return node


def _numbers(value: ir.Value) -> tuple[int, ...] | None:
    """The elements of a constant; ``None`` for anything else."""
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tuple(tensor.numpy().reshape(-1).tolist())


def _integers(node: ir.Node, name: str) -> tuple[int, ...]:
    return tuple(node.attributes.get_ints(name, ()) or ())
