"""Whatever spelling a tracer chose becomes one graph; what cannot is refused by name."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import onnx_ir as ir
import pytest

from export.graph import canonical, naming, rewrites
from parity_tests.support.graphs.graphs import (
    FREE,
    MaxPool,
    attributes,
    expression,
    parsed,
    same_values,
    serialised,
    values,
)

_WEIGHTS: Final = (
    "float[4,3,2,2] block1_conv1__weight, float[4] block1_conv1__bias, "
    "float[5,24] fc1__weight, float[5] fc1__bias, float[7,5] fc2__weight"
)
_NETWORK: Final = f"(float[N,3,4,6] images, {_WEIGHTS}) => (float logits)"
# (N, 3, 4, 6) -> (N, 4, 4, 6) -> (N, 4, 2, 3): no two sizes are the same by accident.
CANONICAL: Final = """
    c = Conv<kernel_shape=[2,2], pads=[0,0,1,1], strides=[1,1], dilations=[1,1], group=1>
        (images, block1_conv1__weight, block1_conv1__bias)
    r = Relu(c)
    p = MaxPool<kernel_shape=[2,2], pads=[0,0,0,0], strides=[2,2]>(r)
    f = Flatten<axis=1>(p)
    d = Gemm<transB=1>(f, fc1__weight, fc1__bias)
    e = Relu(d)
    logits = Gemm<transB=1>(e, fc2__weight)
"""
# As JAX's tracer writes it: channels last, the bias apart, pooling over all four axes.
CHANNELS_LAST: Final = """
    dead = Transpose<perm=[1,0]>(fc2__weight)
    last = Transpose<perm=[0,2,3,1]>(images)
    first = Transpose<perm=[0,3,1,2]>(last)
    c = Conv<pads=[0,0,1,1]>(first, block1_conv1__weight)
    t = Transpose<perm=[0,2,3,1]>(c)
    along = Concat<axis=0>(ones, channels)
    b = Reshape(block1_conv1__bias, along)
    a = Add(b, t)
    r = Relu(a)
    u = Unsqueeze(r, zero)
    v = Unsqueeze(u, zero)
    w = MaxPool<kernel_shape=[1,2,2,1], strides=[1,2,2,1]>(v)
    p = Squeeze(w, both)
    n = Shape<start=0, end=1>(p)
    s = Concat<axis=0>(n, features)
    f = Reshape(p, s)
    m = Reshape(fc1__weight, maps)
    k = Transpose<perm=[2,3,1,0]>(m)
    rows = Reshape(k, order)
    d = MatMul(f, rows)
    z = Add(fc1__bias, d)
    e = Relu(z)
    g = Transpose<perm=[1,0]>(fc2__weight)
    logits = MatMul(e, g)
"""
# As PyTorch's and TensorFlow's write it: defaults left out, casts, automatic padding.
CHANNELS_FIRST: Final = """
    q = Reshape(block1_conv1__bias, along)
    b = Squeeze(q)
    c = Conv<auto_pad="SAME_UPPER">(images, block1_conv1__weight, b)
    i = Identity(c)
    h = Cast<to=1>(i)
    r = Relu(h)
    p = MaxPool<kernel_shape=[2,2], strides=[2,2], auto_pad="VALID", storage_order=0>(r)
    f = Reshape(p, flat)
    d = Gemm<alpha=1.0, beta=1.0, transB=1>(f, fc1__weight, fc1__bias)
    e = Relu(d)
    zeros = Constant<value_floats=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]>()
    logits = Gemm<transB=1>(e, fc2__weight, zeros)
"""
SPELLINGS: Final[dict[str, tuple[str, dict[str, list[int]]]]] = {
    "canonical": (CANONICAL, {}),
    "channels_last": (
        CHANNELS_LAST,
        {
            "ones": [1, 1, 1],
            "channels": [4],
            "zero": [0],
            "both": [0, 1],
            "features": [24],
            "maps": [5, 4, 2, 3],
            "order": [24, 5],
        },
    ),
    "channels_first": (CHANNELS_FIRST, {"along": [1, 4, 1, 1], "flat": [-1, 24]}),
}


def network(spelling: str) -> ir.Model:
    body, constants = SPELLINGS[spelling]
    return parsed(_NETWORK, body, **constants)


def lines(model: ir.Model) -> list[str]:
    """Every node with its name, what it reads, what it gives, and its attributes."""
    return [
        " ".join(
            [
                f"{node.domain}{node.op_type} {node.name}:",
                ", ".join(str(value.name) for value in node.inputs if value is not None),
                f"-> {node.outputs[0].name}",
                *attributes(node),
            ]
        )
        for node in model.graph
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_becomes_the_same_nodes(spelling: str) -> None:
    model = network(spelling)
    canonical.canonicalise(model)
    naming.name(model)
    assert lines(model) == [
        "Conv block1_conv1: images, block1_conv1.weight, block1_conv1.bias "
        "-> block1_conv1_preactivation dilations=(1, 1) group=1 kernel_shape=(2, 2) "
        "pads=(0, 0, 1, 1) strides=(1, 1)",
        "Relu block1_conv1_relu: block1_conv1_preactivation -> block1_conv1",
        "MaxPool block1_pool: block1_conv1 -> block1_pool kernel_shape=(2, 2) pads=(0, 0, 0, 0) "
        "strides=(2, 2)",
        "Flatten flatten: block1_pool -> flatten axis=1",
        "Gemm fc1: flatten, fc1.weight, fc1.bias -> fc1_preactivation transB=1",
        "Relu fc1_relu: fc1_preactivation -> fc1",
        "Gemm fc2: fc1, fc2.weight -> logits transB=1",
    ]
    assert not model.graph.initializers


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_canonicalising_changes_no_value(spelling: str) -> None:
    model = network(spelling)
    before = values(model, MaxPool)
    assert before[0].shape == (FREE, 7)
    assert before[0].any()
    canonical.canonicalise(model)
    assert same_values(values(model), before)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_canonicalising_twice_changes_nothing(spelling: str) -> None:
    model = network(spelling)
    canonical.canonicalise(model)
    once = serialised(model)
    canonical.canonicalise(model)
    assert serialised(model) == once


def test_a_product_waits_for_its_bias_in_every_order_of_nodes() -> None:
    # The addition of fc1's bias is found in the first stage, so that no Gemm goes without it.
    signature = "(float[N,3] x, float[4,3] w, float[4] b) => (float y)"
    for addition in ("Add(m, b)", "Add(b, m)"):
        model = parsed(signature, f"t = Transpose<perm=[1,0]>(w) m = MatMul(x, t) y = {addition}")
        before = values(model)
        canonical.canonicalise(model)
        assert expression(model) == "Gemm(x, w, b, transB=1)"
        assert same_values(values(model), before)


def test_a_constant_bias_of_zeros_is_no_bias() -> None:
    signature = "(float[N,3,6,5] x, float[4,3,3,2] w) => (float y)"
    body = "b = Constant<value_floats=[0.0, 0.0, 0.0, 0.0]>() y = Conv(x, w, b)"
    model = parsed(signature, body)
    before = values(model)
    canonical.canonicalise(model)
    assert expression(model).startswith("Conv(x, w, dilations")
    assert same_values(values(model), before)


def test_nodes_come_in_the_order_in_which_they_compute() -> None:
    model = network("canonical")
    first, *others = list(model.graph)
    model.graph.remove(first)
    model.graph.append(first)
    canonical.canonicalise(model)
    assert [node.op_type for node in model.graph] == [first.op_type, *(n.op_type for n in others)]


# Signature, body and what the refusal says.
_CONV: Final = "(float[N,3,6,5] x, float[4,3,3,2] w, float[4] b) => (float y)"
_FC: Final = "(float[N,3] x, float[4,3] w, float[4] b) => (float y)"
REFUSED: Final = {
    "unknown operator": (_CONV, "c = Conv(x, w, b) y = Sigmoid(c)", "keeps Sigmoid culprit;"),
    "operator of another domain": (
        _CONV,
        "c = Conv(x, w, b) y = elsewhere.Relu(c)",
        "keeps Relu culprit; expected one of Conv, Relu",
    ),
    "transposed image": (
        _CONV,
        "t = Transpose<perm=[0,1,3,2]>(x) y = Conv(t, w, b)",
        "keeps Transpose",
    ),
    "addition of a computed value": (
        _CONV,
        "c = Conv(x, w, b) r = Relu(c) y = Add(c, r)",
        "keeps Add culprit;",
    ),
    "computed weight": (
        _CONV,
        "v = Relu(w) y = Conv(x, v, b)",
        "keeps Conv culprit with a computed weight",
    ),
    "computed bias": (
        _CONV,
        "v = Relu(b) y = Conv(x, w, v)",
        "keeps Conv culprit with a computed weight",
    ),
    "constant bias": (
        _CONV,
        "v = Constant<value_floats=[0.0, 0.0, 1.0, 0.0]>() y = Conv(x, w, v)",
        "",
    ),
    "bias for every image": (
        "(float[N,3] x, float[4,3] w, float[2,4] b) => (float y)",
        "y = Gemm<transB=1>(x, w, b)",
        "keeps Gemm culprit with a bias that is not a vector",
    ),
    "bias of three axes": (
        "(float[N,3] x, float[4,3] w, float[1,1,4] b) => (float y)",
        "t = Transpose<perm=[1,0]>(w) m = MatMul(x, t) y = Add(m, b)",
        "with a bias that is not a vector",
    ),
    "scalar bias": (
        "(float[N,3] x, float[4,3] w, float[] b) => (float y)",
        "y = Gemm<transB=1>(x, w, b)",
        "keeps Gemm culprit with a bias that is not a vector",
    ),
    "bias of unknown length": (
        "(float[N,3] x, float[4,3] w, float[M] b) => (float y)",
        "y = Gemm<transB=1>(x, w, b)",
        "keeps Gemm culprit with a bias that is not a vector",
    ),
    "pooling with its indices": (
        "(float[N,3,6,5] x, float[4,3,3,2] w, float[4] b) => (float y, int64 i)",
        "c = Conv(x, w, b) y, i = MaxPool<kernel_shape=[2,2]>(c)",
        "keeps MaxPool culprit with 2 outputs",
    ),
    "automatic padding of a convolution": (
        _CONV,
        'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w, b)',
        "keeps Conv culprit with padding that depends on the image's size",
    ),
    "automatic padding of a pooling": (
        _CONV,
        'c = Conv(x, w, b) y = MaxPool<kernel_shape=[2,2], auto_pad="SAME_LOWER", '
        "strides=[1,2]>(c)",
        "keeps MaxPool culprit with padding that depends on the image's size",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_canonical_is_refused_by_name(what: str) -> None:
    signature, body, message = REFUSED[what]
    model = parsed(signature, body)
    last = model.graph.outputs[0].producer()
    assert last is not None
    last.name = "culprit"
    with pytest.raises(ValueError, match="the traced graph keeps") as refusal:
        canonical.canonicalise(model)
    assert message in str(refusal.value)


def test_a_node_without_a_name_is_named_by_what_it_gives() -> None:
    model = parsed(_FC, "y = Sigmoid(x)")
    with pytest.raises(ValueError, match=r"keeps Sigmoid y; expected one of Conv, Relu"):
        canonical.check(model)


def test_the_rewriting_knows_nothing_of_the_architecture() -> None:
    for module in (canonical, rewrites, naming):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        assert [name for name in imported if name.startswith("vgg16")] == []
