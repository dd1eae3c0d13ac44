"""Normalisations: values, and the size of their errors from both sides, in several runtimes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.normalisation.batch import batch_normalization
from onnx_arbiter.operators.operation import Unsupported
from parity_tests.support.operator_tolerances import OWN_LEAST, ROUNDED_STATISTICS
from parity_tests.support.operators import (
    Draw,
    assert_predicted,
    evaluated,
    measure,
    node_of,
)


def maps(
    shape: Sequence[int], scales: Sequence[int] = (), biases: Sequence[int] = (), mean: float = 0.3
) -> Draw:
    """Maps, a scale and a bias of some shapes, if there are any."""

    def draw(rng: np.random.Generator) -> Sequence[Array | None]:
        made: list[Array | None] = [rng.standard_normal(shape, np.float32) + np.float32(mean)]
        if scales:
            # Products of normal scales and slopes would need more draws.
            sizes = np.exp(rng.uniform(-1, 1, scales))
            made.append(np.copysign(sizes, rng.standard_normal(scales)).astype(np.float32))
        if biases:
            made.append(rng.standard_normal(biases, np.float32))
        return made

    return draw


def statistics(shape: Sequence[int], each: Sequence[int], mean: float = 0.3) -> Draw:
    """What BatchNormalization reads."""

    def draw(rng: np.random.Generator) -> Sequence[Array | None]:
        [x, scale, bias] = maps(shape, each, each, mean)(rng)
        center: Array = np.float32(mean) + rng.standard_normal(each, np.float32)
        return [x, scale, bias, center, rng.uniform(0.5, 3, each).astype(np.float32)]

    return draw


CASES: dict[str, tuple[Node, Draw]] = {}


def case(name: str, operator: str, draw: Draw, **rest: Any) -> None:
    CASES[name] = node_of(operator, draw(np.random.default_rng(0)), **rest), draw


case("BatchNormalization", "BatchNormalization", statistics((2, 24, 2, 2), (24,)), epsilon=1e-3)
case("BatchNormalization of a table", "BatchNormalization", statistics((4, 40), (40,)))
case(
    "BatchNormalization of every element",
    "BatchNormalization",
    statistics((3, 6, 7), (6, 7)),
    version=7,
    spatial=0,
)
case("InstanceNormalization", "InstanceNormalization", maps((2, 3, 4, 5), (3,), (3,)))
case("InstanceNormalization of four", "InstanceNormalization", maps((3, 8, 4), (8,), (8,)))
case("LayerNormalization", "LayerNormalization", maps((3, 4, 20), (20,), (20,)), axis=-1)
case("LayerNormalization of four", "LayerNormalization", maps((40, 4), (4,), (4,)))
case("LayerNormalization without a bias", "LayerNormalization", maps((20, 12), (12,)), epsilon=0.1)
case(
    "LayerNormalization of two axes", "LayerNormalization", maps((6, 4, 5), (4, 5), (4, 5)), axis=1
)
case("RMSNormalization", "RMSNormalization", maps((3, 4, 20), (20,)), version=23)
case("RMSNormalization of four", "RMSNormalization", maps((5, 2, 2), (2, 2)), version=23, axis=1)
case(
    "GroupNormalization, scales of channels",
    "GroupNormalization",
    maps((2, 6, 3, 2), (6,), (6,)),
    num_groups=3,
)
case(
    "GroupNormalization, scales of groups",
    "GroupNormalization",
    maps((2, 6, 3, 2), (3,), (3,)),
    num_groups=3,
    version=18,
)
case("LpNormalization of order 1", "LpNormalization", maps((6, 7, 3)), p=1, axis=1)
case("LpNormalization of order 2", "LpNormalization", maps((6, 7)))
case("LRN", "LRN", maps((2, 8, 3, 2)), size=5, alpha=0.7, beta=0.6, bias=1.5)
case("LRN of more than there are", "LRN", maps((2, 4, 3, 2)), size=11, alpha=2.0)


@pytest.mark.parametrize("name", CASES)
def test_errors_have_the_predicted_size(name: str) -> None:
    node, draw = CASES[name]
    assert_predicted(measure(node, draw))


def literal(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[NDArray[np.float32]]:
    """Two passes in float32, each operation rounded, sums added one after the other."""
    del step
    x, scale, bias = (np.asarray(values) for values in inputs)
    n = np.float32(x.shape[-1])
    mean = np.cumsum(x, axis=-1, dtype=np.float32)[..., -1:] / n
    centred = x - mean
    squares = np.cumsum(np.square(centred), axis=-1, dtype=np.float32)[..., -1:]
    r = np.float32(1) / np.sqrt(squares / n + np.float32(node.get("epsilon", 1e-5)))
    return [centred * r * scale + bias, mean, r]


def folded(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[NDArray[np.float32]]:
    """The same, as x · a + c."""
    x, scale, bias = (np.asarray(values) for values in inputs)
    _, mean, r = literal(node, step, inputs)
    factor = r * scale
    return [x * factor + (bias - mean * factor)]


def in_torch(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[Array]:
    """PyTorch."""
    del step
    given = [torch.from_numpy(np.asarray(values)) for values in inputs]
    functional: Any = torch.nn.functional  # its stubs do not know unpacked arguments
    if node.operator == "LayerNormalization":
        made = functional.layer_norm(given[0], given[0].shape[-1:], *given[1:], eps=1e-5)
    elif node.operator == "GroupNormalization":
        made = functional.group_norm(given[0], node.get("num_groups"), *given[1:], eps=1e-5)
    elif node.operator == "InstanceNormalization":
        made = functional.instance_norm(given[0], None, None, *given[1:], eps=1e-5)
    else:
        made = functional.batch_norm(given[0], *given[3:], *given[1:3], eps=1e-5)
    return [made.numpy()]


@pytest.mark.parametrize("output", [0, 1, 2])
def test_errors_of_two_passes_have_the_predicted_size(output: int) -> None:
    draw = maps((30, 8), (8,), (8,))
    node = node_of("LayerNormalization", draw(np.random.default_rng(0)), outputs=3)
    assert_predicted(measure(node, draw, output=output, run=literal))


Run = Callable[[Node, Step, Sequence[Array | None]], Sequence[Array]]


@pytest.mark.parametrize("mean", [0.3, 100])
@pytest.mark.parametrize("run", [literal, folded, in_torch])
def test_a_mean_far_above_the_spread_is_covered(run: Run, mean: float) -> None:
    draw = maps((30, 16), (16,), (16,), mean)
    node = node_of("LayerNormalization", draw(np.random.default_rng(0)))
    least = ROUNDED_STATISTICS.limit if mean > 1 else OWN_LEAST.limit
    assert_predicted(measure(node, draw, run=run), least)


@pytest.mark.parametrize("mean", [0.3, 100])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("GroupNormalization", {"num_groups": 3}),
        ("InstanceNormalization", {}),
        ("BatchNormalization", {}),
    ],
)
def test_torch_is_covered(operator: str, attributes: dict[str, Any], mean: float) -> None:
    batch = operator == "BatchNormalization"
    shape = (2, 6, 3, 2)
    draw = statistics(shape, (6,), mean) if batch else maps(shape, (6,), (6,), mean)
    node = node_of(operator, draw(np.random.default_rng(0)), **attributes)
    least = ROUNDED_STATISTICS.limit
    assert_predicted(measure(node, draw, run=in_torch), least)


def one_pass(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[NDArray[np.float32]]:
    """MeanVarianceNormalization as ONNX defines it, in float32."""
    del step
    [x] = (np.asarray(values) for values in inputs)
    axes = node.get("axes", (0, 2, 3))
    mean, squares = (v.mean(axis=axes, keepdims=True) for v in (x, np.square(x)))
    deviation = np.sqrt(squares - np.square(mean))
    return [np.asarray((x - mean) / (deviation + np.float32(1e-9)))]


@pytest.mark.parametrize("mean", [0.3, 30])
@pytest.mark.parametrize("attributes", [{}, {"axes": (2, 3)}])
def test_the_variance_of_one_pass_is_covered_where_onnx_asks_for_it(
    attributes: dict[str, Any], mean: float
) -> None:
    draw = maps((2, 3, 4, 5), mean=mean)
    node = node_of("MeanVarianceNormalization", draw(np.random.default_rng(0)), **attributes)
    assert_predicted(measure(node, draw, run=one_pass), ROUNDED_STATISTICS.limit)


def test_onnx_runtime_normalises_the_same_axes() -> None:
    draw = maps((2, 3, 4, 5))
    node = node_of("MeanVarianceNormalization", draw(np.random.default_rng(0)), axes=(0, 3))
    # It takes two passes, where the prediction is of one.
    assert_predicted(measure(node, draw), ROUNDED_STATISTICS.limit)


def test_a_window_of_an_even_size_reaches_further_ahead() -> None:
    draw = maps((2, 8, 3))
    node = node_of("LRN", draw(np.random.default_rng(0)), size=4, alpha=2.0)

    def by_definition(
        node: Node, step: Step, inputs: Sequence[Array | None]
    ) -> list[NDArray[np.float32]]:
        [x] = (np.asarray(values) for values in inputs)
        around = [np.square(x[:, max(0, c - 1) : c + 3]).sum(axis=1) for c in range(8)]
        return [x / (1 + np.float32(0.5) * np.stack(around, axis=1)) ** np.float32(0.75)]

    # The prediction is of sums that run from channel to channel.
    assert_predicted(measure(node, draw, run=by_definition), ROUNDED_STATISTICS.limit)


@pytest.mark.parametrize("order", [1, 2])
def test_zeros_have_no_direction(order: int) -> None:
    zeros = np.zeros((2, 3), np.float32)
    step = evaluated(node_of("LpNormalization", [zeros], p=order), [zeros])
    assert not step.outputs["y0"].values.any()


@pytest.mark.parametrize(
    "node",
    [
        Node("n", "BatchNormalization", ("x",) * 5, ("y",), {"training_mode": 1}, version=15),
        Node("n", "BatchNormalization", ("x",) * 5, ("y", "a", "b", "c", "d"), version=6),
    ],
)
def test_statistics_of_a_batch_are_refused(node: Node) -> None:
    with pytest.raises(Unsupported, match="statistics of a batch"):
        batch_normalization(node, [np.ones((2, 2))] * 5)


def test_old_forms_with_unused_outputs_are_evaluated() -> None:
    node, draw = CASES["BatchNormalization of a table"]
    inputs = draw(np.random.default_rng(0))
    expected = evaluated(node, inputs).outputs["y0"].values
    old = Node("node", node.operator, node.inputs, ("y0", "", ""), {"is_test": 1}, version=6)
    np.testing.assert_array_equal(evaluated(old, inputs).outputs["y0"].values, expected)
