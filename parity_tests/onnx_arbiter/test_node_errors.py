"""How the errors of a node's inputs meet: in common, together, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.evaluate import walk
from onnx_arbiter.graph import Array, Constant, Graph, Input, Node
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import MODES
from onnx_arbiter.operators.operation import UNIT
from onnx_arbiter.operators.rules import rule_of
from parity_tests.support.operator_tolerances import (
    COMMON_LEAST,
    FLOAT32_VARIANCES,
    OWN_MOST,
    TOGETHER,
)

FLOAT32 = MODES["float32"]
# More than are looked at together.
SIZE = 200_000


@pytest.mark.parametrize("place", [0, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize(("value", "rounded"), [(1 / 3, True), (5.0, False)])
def test_a_constant_is_rounded_if_any_value_has_many_bits(
    place: int, value: float, rounded: bool
) -> None:
    factor = np.full(SIZE, 3, np.float32)
    factor[place] = value
    graph = Graph(
        (Node("scale", "Mul", ("x", "factor"), ("y",)),),
        {"x": Input(factor.dtype, (SIZE,))},
        ("y",),
        {"factor": Constant.of(factor)},
    )
    mode = MODES["bfloat16"]
    inputs = np.full(SIZE, 1.37, np.float32)
    [step] = walk(graph, {"x": inputs}, [mode])
    # What is rounded: the input, the stored output, and the constant or not. Every value is, for a
    # runtime stores a tensor in one type.
    variance = np.square(step.outputs["y"].deviation(mode) / step.outputs["y"].values)
    roundings = variance / (mode.stored**2 / 3)
    assert np.rint(roundings).tolist() == [2 + rounded] * SIZE


def _normalised(rng: np.random.Generator) -> tuple[Graph, dict[str, Array]]:
    """A BatchNorm whose maps have hardly any spread, and the mean of each."""
    channels = 16
    constants = {
        "scale": rng.uniform(0.5, 1.5, channels),
        "bias": rng.standard_normal(channels),
        "mean": rng.standard_normal(channels),
        "variance": rng.uniform(0.5, 2, channels),
    }
    nodes = (
        Node("norm", "BatchNormalization", ("x", *constants), ("y",)),
        Node("pool", "GlobalAveragePool", ("y",), ("z",)),
    )
    maps = 3 + 0.1 * rng.standard_normal((1, channels, 64, 64))
    held = {name: Constant.of(values.astype(np.float32)) for name, values in constants.items()}
    given = {"x": maps.astype(np.float32)}
    return Graph(nodes, {"x": Input(given["x"].dtype, maps.shape)}, ("z",), held), given


def _pooled_in_float32(graph: Graph, maps: Array) -> NDArray[np.float64]:
    """Each channel's factor and addend are rounded once; the mean is exact."""
    scale, bias, mean, variance = (
        graph.constants[name].read() for name in ("scale", "bias", "mean", "variance")
    )
    factor = scale / np.sqrt(variance + np.float32(1e-5))
    addend = bias - mean * factor
    rounded = maps * factor.reshape(1, -1, 1, 1) + addend.reshape(1, -1, 1, 1)
    assert rounded.dtype == np.float32
    pooled: NDArray[np.float64] = rounded.mean(axis=(2, 3), dtype=np.float64, keepdims=True)
    return pooled


def test_a_mean_does_not_average_out_what_a_channel_has_in_common() -> None:
    observed, predicted, apart = [], [], []
    for seed in range(40):
        graph, given = _normalised(np.random.default_rng(seed))
        first, last = walk(graph, given, [FLOAT32])
        value, rule = last.outputs["z"], rule_of(last.node)
        assert rule is not None
        [own] = rule(last.node, [first.outputs["y"].values]).own(FLOAT32)
        assert own is not None
        arriving = np.square(value.deviation(FLOAT32)) - UNIT**2 * own
        observed.append(np.square(_pooled_in_float32(graph, given["x"]) - value.values).mean())
        predicted.append(arriving.mean())
        apart.append(np.square(first.outputs["y"].deviation(FLOAT32)).mean() / (64 * 64))
    ratio = np.sqrt(np.mean(observed) / np.mean(predicted))
    assert COMMON_LEAST.limit <= ratio <= OWN_MOST.limit
    # As if each place erred by itself.
    assert np.sqrt(np.mean(observed) / np.mean(apart)) > 2 * LIMITS.ratio.limit


@pytest.mark.parametrize("sign", [1, -1])
def test_two_functions_of_one_value_err_together(sign: int) -> None:
    """Of x · sigmoid(x), both factors have the error of x, and both grow with it where x > 0."""
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((400, 50)).astype(np.float32)
    nodes = (
        Node("product", "MatMul", ("a", "w"), ("x",)),
        Node("sigmoid", "Sigmoid", ("x",), ("s",)),
        Node("swish", "Mul", ("x", "s"), ("y",)),
    )
    given = {"a": (rng.standard_normal((200, 400)) / 20).astype(np.float32)}
    held = {"w": Constant.of(weight)}
    graph = Graph(nodes, {"a": Input(weight.dtype, given["a"].shape)}, ("y",), held)
    product, sigmoid, swish = walk(graph, given, [FLOAT32])
    x = product.outputs["x"].values
    deviation = product.outputs["x"].deviation(FLOAT32)
    assert sigmoid.outputs["s"].root == swish.outputs["y"].root == "x"

    def function(values: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = values / (1 + np.exp(-values))
        return result

    error = deviation * rng.standard_normal(x.shape)
    moved = np.square(function(x + error) - function(x))
    expected = np.square(swish.outputs["y"].deviation(FLOAT32))
    chosen = sign * x > 1
    ratio = float(np.sqrt(moved[chosen].mean() / expected[chosen].mean()))
    assert ratio <= OWN_MOST.limit
    if sign > 0:
        assert ratio > 1 - TOGETHER.limit


def test_an_exact_input_does_not_hide_the_error_of_another() -> None:
    rng = np.random.default_rng(4)
    weight = rng.standard_normal((30, 5)).astype(np.float32)
    nodes = (
        Node("product", "MatMul", ("a", "w"), ("p",)),
        Node("before", "Sub", ("b", "p"), ("y",)),
        Node("behind", "Sub", ("p", "b"), ("z",)),
    )
    given = {
        "a": rng.standard_normal((7, 30)).astype(np.float32),
        "b": rng.standard_normal((7, 5)).astype(np.float32),
    }
    inputs = {name: Input(values.dtype, values.shape) for name, values in given.items()}
    graph = Graph(nodes, inputs, ("y", "z"), {"w": Constant.of(weight)})
    product, before, behind = walk(graph, given, [FLOAT32])
    first, second = before.outputs["y"], behind.outputs["z"]
    np.testing.assert_array_equal(first.deviation(FLOAT32), second.deviation(FLOAT32))
    assert np.all(first.deviation(FLOAT32) > product.outputs["p"].deviation(FLOAT32))
    assert first.independent == second.independent


@pytest.mark.parametrize(
    ("least", "is_below"), [(2.0**-14, False), (2.0**-14 - 2.0**-24, True), (0.0, True)]
)
def test_a_number_below_the_normal_ones_is_rounded_to_the_smallest(
    least: float, is_below: bool
) -> None:
    """Float16 has all its bits down to 2⁻¹⁴, and steps of 2⁻²⁴ below."""
    nodes = (
        Node("narrow", "Cast", ("x",), ("h",), {"to": 10}),
        Node("turned", "Neg", ("h",), ("y",)),
    )
    x = np.array([1.5, -least, 1.0], np.float32)
    graph = Graph(nodes, {"x": Input(x.dtype, x.shape)}, ("y",), {})
    _, last = walk(graph, {"x": x}, [FLOAT32])
    expected = np.hypot(2.0**-11 / 3**0.5 * np.abs(x), 2.0**-24 if is_below else 0.0)
    np.testing.assert_allclose(
        last.local_deviation("y", FLOAT32), expected, rtol=FLOAT32_VARIANCES.limit
    )


def test_exact_and_whole_numbers_are_not_rounded_where_they_are_read() -> None:
    arrays: list[Array] = [np.array([1.5, 2.0**-20], np.float16), np.array([3, 0], np.int32)]
    for x in arrays:
        graph = Graph((Node("n", "Neg", ("x",), ("y",)),), {"x": Input(x.dtype, x.shape)}, ("y",))
        [step] = walk(graph, {"x": x}, [FLOAT32])
        assert step.local["y"] == {"float32": None}
