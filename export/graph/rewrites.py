"""The rewrites of canonicalisation, one small class each.

``pattern`` returns the nodes that a class replaces, ``check`` the reason to leave them, ``rewrite``
the nodes in their place. The docstring shows both. No rewrite depends on the network.
"""

from __future__ import annotations

import math
from typing import Any, Final

import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRuleClassBase

_TO_CHANNELS_FIRST: Final = (0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
_TO_CHANNELS_LAST: Final = (0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)


class MoveTransposeBelowRelu(RewriteRuleClassBase):
    """Relu(Transpose(x)) -> Transpose(Relu(x)), until transposes meet and cancel."""

    def pattern(self, op: Any, x: Any, perm: Any) -> Any:
        return op.Relu(op.Transpose(x, perm=perm))

    def rewrite(self, op: Any, x: ir.Value, perm: ir.Attr) -> Any:
        return op.Transpose(op.Relu(x), perm=perm)


class GiveConvolutionItsBias(RewriteRuleClassBase):
    """Add(Transpose(Conv(x, w)), Reshape(b, [1, 1, 1, C])) -> Transpose(Conv(x, w, b))

    The transpose is (N, C, H, W) -> (N, H, W, C).
    """

    def pattern(self, op: Any, x: Any, w: Any, b: Any, shape: Any) -> Any:
        convolution = op.Conv(x, w, _outputs=["convolution"])
        return op.Add(op.Transpose(convolution, perm=_TO_CHANNELS_LAST), op.Reshape(b, shape))

    def check(
        self, context: Any, w: ir.Value, b: ir.Value, shape: ir.Value, **_: Any
    ) -> MatchResult:
        """Refuse a second addend that is not one value for each channel."""
        result = MatchResult()
        channels = known_sizes(w)[:1]
        if not channels or known_sizes(b) != channels:
            return result.fail("what is added is not one value for each output channel")
        if _numbers(shape) != (1, 1, 1, *channels):
            return result.fail("what is added does not lie along the channels")
        return result

    def rewrite(
        self, op: Any, x: ir.Value, w: ir.Value, b: ir.Value, convolution: ir.Value, **_: Any
    ) -> Any:
        node = convolution.producer()
        assert node is not None
        biased = op.Conv(x, w, b, **node.attributes)
        return op.Transpose(biased, perm=_TO_CHANNELS_LAST)


class PoolOverTwoAxes(RewriteRuleClassBase):
    """Squeeze(MaxPool(Unsqueeze(Unsqueeze(x)))) -> Transpose(MaxPool(Transpose(x)))

    Pooling over the last four axes of (1, 1, N, H, W, C), in windows of one image and one channel,
    becomes pooling over height and width of (N, C, H, W).
    """

    def pattern(self, op: Any, x: Any, first: Any, second: Any, axes: Any) -> Any:
        raised = op.Unsqueeze(op.Unsqueeze(x, first), second)
        return op.Squeeze(op.MaxPool(raised, _outputs=["pooled"]), axes)

    def check(
        self,
        context: Any,
        pooled: ir.Value,
        first: ir.Value,
        second: ir.Value,
        axes: ir.Value,
        **_: Any,
    ) -> MatchResult:
        """Refuse other axes, and windows over several images or channels."""
        result = MatchResult()
        added = (_numbers(first), _numbers(second))
        if added not in (((0,), (0,)), ((0,), (1,))) or _numbers(axes) != (0, 1):
            return result.fail("the axes added and removed are not the first two")
        node = pooled.producer()
        assert node is not None
        if set(node.attributes) - {"kernel_shape", "strides", "pads", "dilations", "ceil_mode"}:
            return result.fail("the pooling has attributes that this rule does not know")
        if len(_integers(node, "kernel_shape")) != 4:
            return result.fail("the pooling is not over four axes")
        for name, neutral in (("kernel_shape", 1), ("strides", 1), ("pads", 0), ("dilations", 1)):
            sizes = _integers(node, name) or (neutral,) * 4
            if {sizes[0], sizes[3], sizes[-4], sizes[-1]} != {neutral}:
                return result.fail("the pooling's windows take in several images or channels")
        return result

    def rewrite(self, op: Any, x: ir.Value, pooled: ir.Value, **_: Any) -> Any:
        node = pooled.producer()
        assert node is not None
        attributes = dict(node.attributes)
        for name in ("kernel_shape", "strides", "dilations"):
            if sizes := _integers(node, name):
                attributes[name] = ir.AttrInt64s(name, sizes[1:3])
        if pads := _integers(node, "pads"):
            attributes["pads"] = ir.AttrInt64s("pads", (*pads[1:3], *pads[5:7]))
        maps = op.MaxPool(op.Transpose(x, perm=_TO_CHANNELS_FIRST), **attributes)
        return op.Transpose(maps, perm=_TO_CHANNELS_LAST)


class DropRoundTrip(RewriteRuleClassBase):
    """Squeeze(Reshape(x)) -> x, where the shape is x's own again."""

    def pattern(self, op: Any, x: Any, shape: Any) -> Any:
        reshaped = op.Reshape(x, shape)
        return op.Squeeze(reshaped, _allow_other_inputs=True, _outputs=["result"])

    def check(self, context: Any, x: ir.Value, result: ir.Value, **_: Any) -> MatchResult:
        """Refuse another shape, or one that is not known."""
        if not known_sizes(x) or known_sizes(x) != known_sizes(result):
            return MatchResult().fail("the shape is not what it was")
        return MatchResult()

    def rewrite(self, op: Any, x: ir.Value, **_: Any) -> Any:
        return op.Identity(x)


class FlattenChannelsFirst(RewriteRuleClassBase):
    """Flatten(Transpose(x)) @ Reshape(Transpose(Reshape(w, OCHW), HWCO), [HWC, O])
    -> Flatten(x) @ Transpose(w)

    Both operands of the product have C, H, W in the order H, W, C, which changes no sum.
    """

    def pattern(self, op: Any, x: Any, w: Any, maps: Any, rows: Any) -> Any:
        features = op.Flatten(op.Transpose(x, perm=_TO_CHANNELS_LAST), axis=1)
        kernel = op.Transpose(op.Reshape(w, maps), perm=(2, 3, 1, 0))
        return op.MatMul(features, op.Reshape(kernel, rows))

    def check(
        self, context: Any, x: ir.Value, w: ir.Value, maps: ir.Value, rows: ir.Value
    ) -> MatchResult:
        """Refuse axes that are not those of the feature maps."""
        result = MatchResult()
        outputs = known_sizes(w)[:1]
        feature_shape = known_sizes(x, start=1)
        features = math.prod(feature_shape)
        if len(feature_shape) != 3:
            return result.fail("what is flattened is no feature maps")
        if len(known_sizes(w)) != 2:
            return result.fail("the weight is no matrix")
        if _numbers(maps) != (*outputs, *feature_shape) or _numbers(rows) != (features, *outputs):
            return result.fail("the weight's rows are not in the order of the maps")
        return result

    def rewrite(self, op: Any, x: ir.Value, w: ir.Value, **_: Any) -> Any:
        return op.MatMul(op.Flatten(x, axis=1), op.Transpose(w, perm=(1, 0)))


class FlattenByName(RewriteRuleClassBase):
    """Reshape(x, [N, CHW]) -> Flatten(x)"""

    def pattern(self, op: Any, x: Any, shape: Any) -> Any:
        return op.Reshape(x, shape)

    def check(self, context: Any, x: ir.Value, shape: ir.Value, **_: Any) -> MatchResult:
        """Refuse a shape that does not keep each image's values together."""
        features = known_sizes(x, start=1)
        # With the second of two sizes given, the number of values fixes the first.
        if not features or _last_of_two(shape) != math.prod(features):
            return MatchResult().fail("the shape is not (N, all of an image's values)")
        return MatchResult()

    def rewrite(self, op: Any, x: ir.Value, **_: Any) -> Any:
        return op.Flatten(x, axis=1)


class DenseWithoutBias(RewriteRuleClassBase):
    """MatMul(x, Transpose(w)) -> Gemm(x, w, transB=1)"""

    def pattern(self, op: Any, x: Any, w: Any) -> Any:
        return op.MatMul(x, op.Transpose(w, perm=(1, 0)))

    def check(self, context: Any, x: ir.Value, w: ir.Value) -> MatchResult:
        """Refuse operands that are no matrices."""
        if x.shape is None or len(x.shape) != 2 or len(known_sizes(w)) != 2:
            return MatchResult().fail("an operand is not a matrix")
        return MatchResult()

    def rewrite(self, op: Any, x: ir.Value, w: ir.Value) -> Any:
        return op.Gemm(x, w, transB=1)


def known_sizes(value: ir.Value | None, start: int = 0) -> tuple[int, ...]:
    """The known sizes of a value's axes from ``start`` on; none where one is not known."""
    sizes = () if value is None or value.shape is None else tuple(value.shape)[start:]
    known = tuple(size for size in sizes if isinstance(size, int))
    return known if len(known) == len(sizes) else ()


def _numbers(value: ir.Value) -> tuple[int, ...] | None:
    """The elements of a constant; ``None`` for anything else."""
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tuple(tensor.numpy().reshape(-1).tolist())


def _integers(node: ir.Node, name: str) -> tuple[int, ...]:
    return tuple(node.attributes.get_ints(name, ()) or ())


def _last_of_two(shape: ir.Value) -> int | None:
    """The second size of a shape of two, also where the first is computed; ``None`` otherwise."""
    numbers = _numbers(shape)
    if numbers is not None:
        return numbers[1] if len(numbers) == 2 else None
    node = shape.producer()
    while node is not None and node.op_type == "Cast":
        (before,) = node.inputs
        node = None if before is None else before.producer()
    if node is None or node.op_type != "Concat" or len(node.inputs) != 2:
        return None
    first, last = node.inputs
    numbers = None if last is None else _numbers(last)
    if known_sizes(first) != (1,) or numbers is None or len(numbers) != 1:
        return None
    return numbers[0]
