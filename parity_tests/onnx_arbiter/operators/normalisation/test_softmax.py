"""Softmax, its logarithm and Hardmax: values, and the size of their errors from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.operators.normalisation.softmax import hardmax, log_softmax, softmax
from onnx_arbiter.operators.operation import UNIT
from parity_tests.support.operator_tolerances import SOFTMAX_IN_LANES
from parity_tests.support.operators import (
    FLOAT32,
    Draw,
    assert_predicted,
    evaluated,
    measure,
    node_of,
    run_alone,
)


def logits(shape: Sequence[int], scale: float = 1.0) -> Draw:
    """Normal values times a number."""
    return lambda rng: [np.float32(scale) * rng.standard_normal(shape, np.float32)]


def in_torch(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[Array]:
    """PyTorch."""
    del step
    values = torch.from_numpy(np.asarray(inputs[0]))
    made = torch.softmax if node.operator == "Softmax" else torch.log_softmax
    return [made(values, node.get("axis", -1)).numpy()]


@pytest.mark.parametrize("run", [run_alone, in_torch])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("shape", "scale", "axis"),
    [((20, 10), 1, -1), ((9, 12, 4), 3, 1), ((80, 3), 4, 1), ((20, 60), 30, 0)],
)
def test_errors_have_the_predicted_size(
    operator: str, shape: tuple[int, ...], scale: float, axis: int, run: Any
) -> None:
    draw = logits(shape, scale)
    node = node_of(operator, draw(np.random.default_rng(0)), axis=axis)
    # Steps in proportion to large logits would leave the linear range.
    measured = measure(node, draw, run=run, perturbation=1e-6)
    assert_predicted(measured, SOFTMAX_IN_LANES.limit)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_before_opset_13_all_axes_from_one_on_are_one(operator: str, axis: int) -> None:
    [values] = logits((2, 3, 4))(np.random.default_rng(0))
    node = node_of(operator, [values], version=11, axis=axis)
    step = evaluated(node, [values])
    [expected] = run_alone(node, step, [values])
    error = np.abs(step.outputs["y0"].values - expected)
    deviation = step.local_deviation("y0", FLOAT32)
    assert (error <= LIMITS.deviations.limit * deviation).all()


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("mask", [-np.inf, np.finfo(np.float32).min, -1e4])
def test_masked_elements_leave_a_finite_prediction(operator: str, mask: float) -> None:
    values = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    values[:, 4:] = mask
    values[3, 1:] = mask
    node = node_of(operator, [values])
    operation = (softmax if operator == "Softmax" else log_softmax)(node, [values])
    variance = np.ones(values.shape, np.float32)
    variance[:, 4:] = np.inf  # of a mask that is stored in fewer bits
    [own], [carried] = operation.own(FLOAT32), operation.carried([variance])
    assert own is not None
    assert carried is not None
    kept = values > -100
    assert np.isfinite(own).all()
    assert np.isfinite(carried[kept]).all()
    if operator == "Softmax":
        assert np.isfinite(carried).all()
        assert not carried[~kept].any()


def test_a_certain_outcome_keeps_the_error_of_its_sum() -> None:
    values = np.array([[60, 0, -3, 1]], np.float32)
    step = evaluated(node_of("Softmax", [values]), [values])
    assert step.local_deviation("y0", FLOAT32)[0, 0] > UNIT


@pytest.mark.parametrize(("gap", "decides"), [(0.0, True), (2e-6, True), (1e-3, False)])
def test_a_rival_within_reach_of_errors_decides(gap: float, decides: bool) -> None:
    values = np.array([[1.0, 0.0], [2.0, 2.0 + gap], [5.0, 1.0]])
    operation = hardmax(node_of("Hardmax", [values]), [values])
    assert operation.carried([None]) == (None,)
    assert operation.decides == [False]
    operation.carried([np.full(values.shape, 100, np.float32)])
    assert operation.decides == [decides]


def test_hardmax_takes_the_first_maximum() -> None:
    values = np.array([[1, 3, 3], [2, 1, 0], [0, 0, 0]], np.float32)
    for axis in (0, 1, -1):
        node = node_of("Hardmax", [values], axis=axis)
        step = evaluated(node, [values])
        [expected] = run_alone(node, step, [values])
        np.testing.assert_array_equal(step.outputs["y0"].values, expected)
