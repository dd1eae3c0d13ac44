"""An error that a comparison just accepts is a predicted one: `REACH` itself is within reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.operation import REACH, Operation, deviation_of
from onnx_arbiter.operators.rules import RULES
from parity_tests.support.operators import node_of

VARIANCE: Final = np.full(1, 4, np.float32)
# As it is computed in float32.
EDGE: Final = float((REACH * deviation_of(VARIANCE))[0])
BEYOND: Final = float(np.nextafter(np.float32(EDGE), np.float32(1)))
ZERO: Final = np.zeros(1)

# operator, attributes, the inputs with a distance from where it changes, which input errs
Case = tuple[str, dict[str, Any], Callable[[float], list[Array | None]], int]
SLOPES: Final[dict[str, Case]] = {
    "Relu": ("Relu", {}, lambda x: [np.array([-x])], 0),
    "a clipped value, below": ("Clip", {}, lambda x: [np.array([-x]), ZERO, None], 0),
    "a clipped value, above": ("Clip", {}, lambda x: [np.array([x]), None, ZERO], 0),
    "the lower limit of a clip": ("Clip", {}, lambda x: [np.array([x]), ZERO, None], 1),
    "the upper limit of a clip": ("Clip", {}, lambda x: [np.array([-x]), None, ZERO], 2),
    "Max": ("Max", {}, lambda x: [np.array([-x]), ZERO], 0),
    "Min": ("Min", {}, lambda x: [ZERO, np.array([x])], 1),
}


def made(case: Case, distance: float) -> tuple[Operation, list[Any]]:
    operator, attributes, draw, index = case
    inputs = draw(distance)
    operation = RULES[operator](node_of(operator, inputs, **attributes), inputs)
    return operation, [VARIANCE if place == index else None for place in range(len(inputs))]


@pytest.mark.parametrize("case", SLOPES.values(), ids=SLOPES)
def test_an_error_that_just_reaches_passes(case: Case) -> None:
    for distance, passes in ((EDGE, True), (BEYOND, False)):
        operation, variances = made(case, distance)
        [carried] = operation.carried(variances)
        np.testing.assert_array_equal(carried, VARIANCE if passes else 0 * VARIANCE)


KINKS: Final[dict[str, Case]] = {
    "LeakyRelu": ("LeakyRelu", {"alpha": 0.5}, lambda x: [np.array([-x])], 0),
    "Sign": ("Sign", {}, lambda x: [np.array([x])], 0),
    "ThresholdedRelu": ("ThresholdedRelu", {"alpha": 0.5}, lambda x: [np.array([0.5 - x])], 0),
}


@pytest.mark.parametrize("case", KINKS.values(), ids=KINKS)
def test_a_kink_or_a_step_that_is_just_reached_counts(case: Case) -> None:
    (near, variances), (far, _) = made(case, EDGE), made(case, BEYOND)
    [reached], [not_reached] = near.carried(variances), far.carried(variances)
    assert reached is not None
    assert not_reached is not None
    assert reached[0] > not_reached[0]


DECISIONS: Final[dict[str, Case]] = {
    "Cast": ("Cast", {"to": 9}, lambda x: [np.array([x])], 0),
    "NonZero": ("NonZero", {}, lambda x: [np.array([-x])], 0),
    "Greater": ("Greater", {}, lambda x: [np.array([x]), ZERO], 0),
}


@pytest.mark.parametrize("case", DECISIONS.values(), ids=DECISIONS)
def test_a_boundary_that_is_just_reached_leaves_it_undecided(case: Case) -> None:
    for distance, decides in ((EDGE, True), (BEYOND, False)):
        operation, variances = made(case, distance)
        operation.carried(variances)
        assert operation.decides == [decides]
