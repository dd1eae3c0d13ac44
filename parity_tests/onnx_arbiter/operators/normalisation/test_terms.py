"""Normalisations and softmaxes: carried errors against Jacobians, and every rounding simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF
from onnx_arbiter.operators.rules import rule_of
from parity_tests.support.operator_tolerances import JACOBIAN, OWN_MOST, SIMULATED_LEAST
from parity_tests.support.operators import measure, node_of

CASES: dict[str, tuple[str, tuple[tuple[int, ...], ...], dict[str, Any]]] = {
    "LayerNormalization": ("LayerNormalization", ((3, 6), (6,), (6,)), {}),
    "LayerNormalization, large epsilon": ("LayerNormalization", ((3, 4), (4,)), {"epsilon": 0.5}),
    "RMSNormalization": ("RMSNormalization", ((3, 6), (6,)), {"version": 23}),
    "InstanceNormalization": ("InstanceNormalization", ((2, 3, 5), (3,), (3,)), {}),
    "GroupNormalization": ("GroupNormalization", ((2, 4, 3), (4,), (4,)), {"num_groups": 2}),
    "MeanVarianceNormalization": ("MeanVarianceNormalization", ((2, 2, 2, 2),), {}),
    "LpNormalization 1": ("LpNormalization", ((3, 5),), {"p": 1}),
    "LpNormalization 2": ("LpNormalization", ((3, 5),), {"p": 2, "axis": 0}),
    "LRN": ("LRN", ((2, 6, 2),), {"size": 4, "alpha": 3.0}),
    "Softmax": ("Softmax", ((3, 5),), {}),
    "LogSoftmax": ("LogSoftmax", ((3, 5),), {"axis": 0}),
}


@pytest.mark.parametrize("name", CASES)
def test_errors_of_different_sizes_are_carried_by_the_jacobian(name: str) -> None:
    operator, shapes, attributes = CASES[name]
    rng = np.random.default_rng(0)
    inputs: list[Array | None] = [rng.standard_normal(shape) for shape in shapes]
    node = node_of(operator, inputs, **attributes)
    rule = rule_of(node)
    assert rule is not None
    for index, values in enumerate(inputs):
        assert values is not None
        variance = np.exp(rng.uniform(-3, 3, values.shape)).astype(np.float32)
        expected = np.zeros(rule(node, inputs).outputs[0].shape)
        for place in np.ndindex(values.shape):
            step = np.zeros(values.shape)
            step[place] = 1e-6
            sides = [
                rule(node, [*inputs[:index], values + side, *inputs[index + 1 :]]).outputs[0]
                for side in (step, -step)
            ]
            expected += variance[place] * np.square((sides[0] - sides[1]) / 2e-6)
        given = [variance if place == index else None for place in range(len(inputs))]
        found = rule(node, inputs).carried(given)[0]
        assert found is not None
        difference = np.abs(found - expected).max()
        assert difference <= JACOBIAN.limit * expected.max()


class _Rounding:
    """Rounds every result by an error that is uniform over the roundoff either way."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        errors = self._rng.uniform(-FLOAT32_ROUNDOFF, FLOAT32_ROUNDOFF, np.shape(values))
        return values * (1 + errors)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum along the last axis, one term after the other."""
        total = np.zeros((*values.shape[:-1], 1))
        for place in range(values.shape[-1]):
            total = self(total + values[..., place : place + 1])
        return total


def _statistics(
    x: NDArray[np.float64], rounded: _Rounding
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    n = x.shape[-1]
    mean = rounded(rounded.sum(x) / n)
    centred = rounded(x - mean)
    variance = rounded(rounded.sum(rounded(np.square(centred))) / n)
    return mean, centred, rounded(1 / rounded(np.sqrt(rounded(variance + 1e-5))))


def literally(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[Array]:
    """(x - mean) · r · scale + bias"""
    del node, step
    x, scale, bias = (np.asarray(values, np.float64) for values in inputs)
    rounded = _Rounding(int(1e6 * abs(float(x[0, 0]))))
    _, centred, r = _statistics(x, rounded)
    return [rounded(rounded(rounded(centred * r) * scale) + bias)]


def folded(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[Array]:
    """X · a + (bias - mean · a)"""
    del node, step
    x, scale, bias = (np.asarray(values, np.float64) for values in inputs)
    rounded = _Rounding(int(1e6 * abs(float(x[0, 0]))))
    mean, _, r = _statistics(x, rounded)
    factor = rounded(r * scale)
    return [rounded(rounded(x * factor) + rounded(bias - rounded(mean * factor)))]


@pytest.mark.parametrize("run", [literally, folded])
@pytest.mark.parametrize(
    ("mean", "length"), [(0.0, 6), (0.0, 60), (100.0, 4), (100.0, 60), (10.0, 6)]
)
def test_no_rounding_is_forgotten(run: Any, mean: float, length: int) -> None:
    def draw(rng: np.random.Generator) -> Sequence[Array | None]:
        x = rng.standard_normal((30, length), np.float32) + np.float32(mean)
        scale = np.exp(rng.uniform(-1, 1, length)).astype(np.float32)
        return [x, scale, 0.1 * rng.standard_normal(length).astype(np.float32)]

    node = node_of("LayerNormalization", draw(np.random.default_rng(0)))
    ratio = measure(node, draw, draws=60, run=run).ratio
    assert SIMULATED_LEAST.limit <= ratio <= OWN_MOST.limit
