"""What products, sums, fused layers and moves make of the images, or why they are not followed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest

from parity_tests.support.graphs.nodes import images, made, node, same
from vgg16_parity.onnx_check.symbolic import (
    NodeContext,
    Step,
    SymbolicTensor,
    Untraceable,
    arrange,
)

MAPS: Final = (2, 3, 8, 9)


X: Final = images(*MAPS)


WEIGHT: Final = np.arange(4 * 3 * 3 * 2, dtype=np.float32).reshape(4, 3, 3, 2)


BIAS: Final = np.arange(4, dtype=np.float32)


NHWC: Final = SymbolicTensor(arrange(MAPS).transpose(0, 2, 3, 1), MAPS)


FLAT: Final = SymbolicTensor(arrange((2, 3, 1, 2)).reshape(2, 6), (2, 3, 1, 2))


MATRIX: Final = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    "at",
    [
        node("Gemm", FLAT, MATRIX, BIAS, transB=1),
        node("Gemm", FLAT, MATRIX.T, BIAS),
        node("Gemm", FLAT, MATRIX.T, BIAS.reshape(1, 4), alpha=1.0, beta=1.0, transA=0, transB=0),
        node("MatMul", FLAT, MATRIX.T),
        node("com.microsoft.FusedMatMul", FLAT, MATRIX, transB=1),
        node("Einsum", FLAT, MATRIX, equation="bi,oi->bo"),
        node("Einsum", FLAT, MATRIX.T, equation=" bi, io -> bo "),
    ],
)
def test_a_product_with_a_matrix_is_a_dense_layer(at: NodeContext) -> None:
    found = made(at)
    (step,) = found.steps
    assert (step.kind, step.node, step.order) == ("dense layer", f"{at.operator} mine", "CW")
    assert same(step.weight, MATRIX, "c1")
    assert same(step.bias, BIAS, "c2") if len(at.inputs) > 2 else step.bias is None
    assert (found.maps, found.axes) == ((2, 4, 1, 1), ("N", "C"))


def test_a_matrix_may_be_the_first_operand_of_an_einsum() -> None:
    for matrix, equation in ((MATRIX, "oi,bi->bo"), (MATRIX.T, "io,bi->bo")):
        (step,) = made(node("Einsum", matrix, FLAT, equation=equation)).steps
        assert same(step.weight, MATRIX, "c0")


SQUARE: Final = np.arange(36, dtype=np.float32).reshape(6, 6)


TURNED: Final = SymbolicTensor(FLAT.array.T, FLAT.maps)


ONE: Final = SymbolicTensor(arrange((1, 2, 1, 2)).reshape(2, 2), (1, 2, 1, 2))


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (node("Gemm", FLAT, SQUARE, alpha=0.5), "multiplies by factors .*'alpha': 0.5"),
        (node("Gemm", FLAT, SQUARE, beta=2.0), "multiplies by factors .*'beta': 2.0"),
        (node("Gemm", FLAT, SQUARE, transA=1), "transposes the images"),
        (node("Gemm", FLAT, MATRIX), "reads 4 features where 6 come"),
        (node("MatMul", FLAT, np.zeros((2, 6, 4))), "multiplies"),
        (node("MatMul", TURNED, np.zeros((2, 4))), r"multiplies \(C·W, N\), expected \(N, feat"),
        (node("MatMul", ONE, np.zeros((2, 4))), "multiplies"),
        (node("MatMul", X, np.zeros((9, 4))), r"multiplies \(N, C, H, W\)"),
        (node("Einsum", FLAT, SQUARE, equation="bi,oi->ob"), "computes bi,oi->ob"),
        (node("Einsum", FLAT, SQUARE, equation="bi,oj->bo"), "computes bi,oj->bo"),
        (node("Einsum", FLAT, SQUARE, equation="bi,jo->bo"), "computes bi,jo->bo"),
    ],
)
def test_another_product_is_not_followed(at: NodeContext, problem: str) -> None:
    with pytest.raises(Untraceable, match=problem):
        made(at)


def test_what_is_added_along_the_channels_behind_a_layer_is_its_bias() -> None:
    for weight, x in (
        (node("Conv", X, WEIGHT), BIAS.reshape(1, 4, 1, 1)),
        (node("Conv", X, WEIGHT), BIAS.reshape(4, 1, 1)),
        (node("Conv", X, WEIGHT, np.zeros(4)), BIAS.reshape(4, 1, 1)),
        (node("MatMul", FLAT, MATRIX.T), BIAS),
        (node("MatMul", FLAT, MATRIX.T), BIAS.reshape(1, 4)),
    ):
        layer = made(weight)
        for operands in ((layer, x), (x, layer)):
            found = made(node("Add", *operands))
            (step,) = found.steps
            assert same(step.bias, BIAS, f"c{operands.index(x) if x is operands[0] else 1}")
            assert (step.kind, step.weight) == (layer.steps[0].kind, layer.steps[0].weight)
            assert found.maps == layer.maps


def test_what_is_added_otherwise_is_a_step_of_its_own() -> None:
    convolved = made(node("Conv", X, WEIGHT))
    with_bias = made(node("Conv", X, WEIGHT, BIAS))
    along = BIAS.reshape(4, 1, 1)
    for x, constant in (
        (convolved, BIAS.reshape(1, 1, 4)[..., :1] + 1),
        (convolved, np.ones((4, 6, 8))),
        (convolved, np.ones((1, 1, 8))),
        (with_bias, along),
        (made(node("Relu", convolved)), along),
        (images(2, 4, 6, 8), along),
    ):
        assert made(node("Add", x, constant)).steps[-1] == Step("Add", "Add mine")
    assert made(node("Add", with_bias, 0.0)) is with_bias


@pytest.mark.parametrize(
    ("operator", "given"), [("FusedConv", (X, WEIGHT, BIAS)), ("FusedGemm", (FLAT, MATRIX.T, BIAS))]
)
def test_a_fused_layer_is_a_layer_and_its_relu(operator: str, given: tuple[Any, ...]) -> None:
    kind = "convolution" if operator == "FusedConv" else "dense layer"
    for activation, kinds in (("Relu", [kind, "ReLU"]), ("", [kind])):
        found = made(node(f"com.microsoft.{operator}", *given, activation=activation))
        assert [step.kind for step in found.steps] == kinds
    assert [step.kind for step in made(node(f"com.microsoft.{operator}", *given)).steps] == [kind]
    with pytest.raises(Untraceable, match="has the activation Tanh in it"):
        made(node(f"com.microsoft.{operator}", *given, activation="Tanh"))


QUANTISED: Final = (
    *("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"),
    *("com.microsoft.DynamicQuantizeMatMul", "com.microsoft.MatMulIntegerToFloat"),
    *("com.microsoft.MatMulNBits", "com.microsoft.QGemm"),
)


BLOCKED: Final = tuple(
    f"com.microsoft.nchwc.{name}" for name in ("Conv", "MaxPool", "ReorderInput")
)


@pytest.mark.parametrize("operator", [*QUANTISED, *BLOCKED])
def test_operators_that_change_weights_or_layout_say_so(operator: str) -> None:
    said = "computes with quantised weights" if operator in QUANTISED else "ONNX Runtime's layout"
    with pytest.raises(Untraceable, match=said):
        made(node(operator, X))


def test_moves_move_and_picks_may_not_pick() -> None:
    turned = made(node("Transpose", X, perm=[0, 2, 3, 1]))
    assert (turned.axes, turned.maps, turned.steps) == (NHWC.axes, MAPS, ())
    assert made(node("Slice", X, [0], [99], [2])) is X
    for at in (node("Slice", X, [1], [99], [2]), node("Gather", X, [2, 1, 0], axis=1)):
        with pytest.raises(Untraceable, match="picks or reorders values"):
            made(at)


@pytest.mark.parametrize("domain", ["", "com.microsoft."])
def test_what_rounds_to_integers_is_noted_and_what_undoes_it_is_nothing(domain: str) -> None:
    assert made(node(f"{domain}DequantizeLinear", X, 0.1)) is X
    ((label, what),) = made(node(f"{domain}QuantizeLinear", X, 0.1)).notes
    assert label == f"{domain}QuantizeLinear mine"
    assert what == "rounds to uint8, where the network computes in float32"
