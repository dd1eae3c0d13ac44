"""The passes of canonicalisation that are no rewrites: constants, attributes, order."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir
import pytest

from export.graph import canonical
from parity_tests.support.graphs.graphs import (
    expression,
    parsed,
    same_values,
    serialised,
    values,
    values_in_onnxruntime,
)

_WINDOWS: Final = "(float[N,3,6,5] x, float[4,3,3,2] w, float[4] b) => (float y)"
_ROWS: Final = "(float[N,3] x, float[4,3] w, float[4] b) => (float y)"


def explicit(signature: str, body: str) -> tuple[ir.Model, ir.Model]:
    """A graph, and the same with its attributes written out."""
    before, after = parsed(signature, body), parsed(signature, body)
    canonical.write_attributes(after)
    return before, after


@pytest.mark.parametrize(
    ("signature", "before", "after"),
    [
        (
            _WINDOWS,
            "Conv(x, w)",
            "Conv(x, w, dilations=(1, 1), group=1, kernel_shape=(3, 2), pads=(0, 0, 0, 0), "
            "strides=(1, 1))",
        ),
        (
            _WINDOWS,
            'Conv<strides=[2,1], pads=[1,0,2,1], dilations=[1,2], auto_pad="NOTSET">(x, w, b)',
            "Conv(x, w, b, dilations=(1, 2), group=1, kernel_shape=(3, 2), pads=(1, 0, 2, 1), "
            "strides=(2, 1))",
        ),
        (
            "(float[N,6,6,5] x, float[4,3,3,2] w) => (float y)",
            "Conv<group=2>(x, w)",
            "Conv(x, w, dilations=(1, 1), group=2, kernel_shape=(3, 2), pads=(0, 0, 0, 0), "
            "strides=(1, 1))",
        ),
        (
            _WINDOWS,
            "MaxPool<kernel_shape=[3,2], ceil_mode=0, dilations=[1,1], storage_order=0>(x)",
            "MaxPool(x, kernel_shape=(3, 2), pads=(0, 0, 0, 0), strides=(1, 1))",
        ),
        (
            _WINDOWS,
            "MaxPool<kernel_shape=[3,2], ceil_mode=1, dilations=[1,2], strides=[2,3]>(x)",
            "MaxPool(x, ceil_mode=1, dilations=(1, 2), kernel_shape=(3, 2), pads=(0, 0, 0, 0), "
            "strides=(2, 3))",
        ),
        (
            _WINDOWS,
            "AveragePool<kernel_shape=[1,2], count_include_pad=0, ceil_mode=0>(x)",
            "AveragePool(x, kernel_shape=(1, 2), pads=(0, 0, 0, 0), strides=(1, 1))",
        ),
        (
            _WINDOWS,
            "AveragePool<kernel_shape=[1,2], count_include_pad=1, pads=[0,1,0,0]>(x)",
            "AveragePool(x, count_include_pad=1, kernel_shape=(1, 2), pads=(0, 1, 0, 0), "
            "strides=(1, 1))",
        ),
        (
            _ROWS,
            "Gemm<alpha=1.0, beta=1.0, transA=0, transB=1>(x, w, b)",
            "Gemm(x, w, b, transB=1)",
        ),
        (
            "(float[N,3] x, float[3,4] w, float[4] b) => (float y)",
            "Gemm<transB=0>(x, w, b)",
            "Gemm(x, w, b)",
        ),
        (
            "(float[3,N] x, float[4,3] w, float[4] b) => (float y)",
            "Gemm<alpha=2.0, beta=3.0, transA=1, transB=1>(x, w, b)",
            "Gemm(x, w, b, alpha=2.0, beta=3.0, transA=1, transB=1)",
        ),
        (_WINDOWS, "Flatten(x)", "Flatten(x, axis=1)"),
        (_WINDOWS, "Flatten<axis=3>(x)", "Flatten(x, axis=3)"),
    ],
)
def test_attributes_are_written_one_way(signature: str, before: str, after: str) -> None:
    model, written = explicit(signature, f"y = {before}")
    assert expression(written) == after
    assert same_values(values(written), values(model))


@pytest.mark.parametrize(
    ("window", "pads"),
    [
        # A kernel of (3, 2): one row on either side, and the odd column behind or in front.
        ('auto_pad="SAME_UPPER"', (1, 0, 1, 1)),
        ('auto_pad="SAME_LOWER"', (1, 1, 1, 0)),
        ('auto_pad="SAME_UPPER", dilations=[2,3]', (2, 1, 2, 2)),
        ('auto_pad="SAME_LOWER", dilations=[2,3]', (2, 2, 2, 1)),
        ('auto_pad="VALID"', (0, 0, 0, 0)),
        ('auto_pad="VALID", strides=[2,3]', (0, 0, 0, 0)),
    ],
)
@pytest.mark.parametrize("operator", ["Conv<{}>(x, w)", "MaxPool<kernel_shape=[3,2], {}>(x)"])
def test_automatic_padding_becomes_numbers(
    operator: str, window: str, pads: tuple[int, ...]
) -> None:
    model, written = explicit(_WINDOWS, f"y = {operator.format(window)}")
    (node,) = written.graph
    assert tuple(node.attributes.get_ints("pads", ())) == pads
    assert "auto_pad" not in node.attributes
    canonical.infer_shapes(written)
    if "SAME" in window:
        assert str(written.graph.outputs[0].shape).endswith(",6,5]")
    if "SAME" not in window or "dilations" not in window:  # ONNX Runtime has not both at once
        assert same_values(values_in_onnxruntime(written), values_in_onnxruntime(model))


@pytest.mark.parametrize("strides", ["[2,2]", "[1,2]", "[2,1]"])
def test_automatic_padding_that_depends_on_the_size_stays(strides: str) -> None:
    _, written = explicit(_WINDOWS, f'y = Conv<auto_pad="SAME_UPPER", strides={strides}>(x, w)')
    (node,) = written.graph
    assert node.attributes["auto_pad"].value == "SAME_UPPER"


def test_writing_attributes_out_twice_changes_nothing() -> None:
    _, written = explicit(_WINDOWS, 'c = Conv<auto_pad="SAME_UPPER">(x, w) y = Flatten(c)')
    once = serialised(written)
    canonical.write_attributes(written)
    assert serialised(written) == once


def test_what_depends_on_no_input_is_computed() -> None:
    model = parsed(
        "(float[N,3,2,4] x) => (float y)",
        "s = Concat<axis=0>(first, last) y = Reshape(x, s)",
        first=[-1],
        last=[24],
    )
    before = values(model)
    canonical.fold_constants(model)
    assert expression(model) == "Reshape(x, [-1, 24])"
    assert same_values(values(model), before)


def test_what_depends_on_a_weight_is_not_computed() -> None:
    model = parsed(_ROWS, "t = Transpose<perm=[1,0]>(w) m = MatMul(x, t) y = Add(m, b)")
    before = expression(model)
    canonical.fold_constants(model)
    assert expression(model) == before


@pytest.mark.parametrize(("count", "left"), [(1 << 16, ["Add"]), ((1 << 16) + 1, ["Neg", "Add"])])
def test_constants_as_large_as_weights_are_not_computed_with(count: int, left: list[str]) -> None:
    model = parsed(
        f"(int64[{count}] x) => (int64[{count}] y)", "n = Neg(c) y = Add(x, n)", c=[0] * count
    )
    canonical.fold_constants(model)
    assert [node.op_type for node in model.graph] == left


def test_sizes_that_follow_from_free_ones_have_no_name() -> None:
    model = parsed("(float[N,3,H,8] x) => (float y)", "y = MaxPool<kernel_shape=[2,2]>(x)")
    canonical.infer_shapes(model)
    (output,) = model.graph.outputs
    assert output.shape == ir.Shape(("N", 3, None, 7))


def test_shapes_that_a_tracer_wrote_are_not_believed() -> None:
    model = parsed("(float[N,3,2,4] x) => (float y)", "r = Relu(x) y = Flatten(r)")
    for node in model.graph:
        node.outputs[0].shape = ir.Shape((17, 19))
    canonical.infer_shapes(model)
    assert [tuple(map(str, node.outputs[0].shape or ())) for node in model.graph] == [
        ("N", "3", "2", "4"),
        ("N", "24"),
    ]


@pytest.mark.parametrize(
    "move",
    [
        "Constant<value_floats=[1.0, 2.0, 3.0]>()", "Identity(x)", "Cast<to=1>(x)",
        "Reshape(x, sizes)", "Squeeze(x)", "Transpose<perm=[1,0]>(x)", "Unsqueeze(x, axes)",
    ],
)  # fmt: skip
def test_what_computes_is_named_before_the_moves_around_it(move: str) -> None:
    # A move is usually left because of it.
    body = f"m = {move} s = Sigmoid(m) y = Tanh(s)"
    model = parsed("(float[1,3] x) => (float y)", body, sizes=[3, 1], axes=[0])
    with pytest.raises(ValueError, match="the traced graph keeps Sigmoid s; expected one of Conv"):
        canonical.check(model)
    moves = parsed("(float[1,3] x) => (float m)", f"m = {move}", sizes=[3, 1], axes=[0])
    with pytest.raises(ValueError, match=f"keeps {move.partition('(')[0].partition('<')[0]} m;"):
        canonical.check(moves)
