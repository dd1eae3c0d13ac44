"""Sums that are quantised again: an error is a step where it may carry one over a half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.models.to_onnx import model_of
from onnx_arbiter.operators.operation import REACH, UNIT, Unsupported
from parity_tests.support.carried_errors import variance_of
from parity_tests.support.operator_tolerances import (
    FLOAT32_VARIANCES,
    JACOBIAN,
    QUANTISED_ELSEWHERE,
)
from parity_tests.support.operators import FLOAT32, evaluated, node_of, run_alone
from parity_tests.support.quantised import (
    RNG,
    STRIDED,
    Form,
    int8,
    int32,
    operation_of,
    scale,
    signed,
    uint8,
    unsigned,
)

OF_CONV = [scale(0.02), uint8(), int8(4, 3, 3, 2), scale(0.01), int8()]
QUANTISED: dict[str, Form] = {
    "a convolution": (
        "QLinearConv",
        [uint8(2, 6, 7, 8), *OF_CONV, scale(0.7), uint8()],
        STRIDED,
    ),
    "one with scales of channels and addends": (
        "QLinearConv",
        [
            *[uint8(2, 3, 6, 6), scale(0.02), uint8(), int8(4, 3, 3, 3)],
            *[scale(0.01, 0.02, 0.03, 0.04), 0 * int8(4), scale(1.3), uint8()],
            int32(4),
        ],
        {},
    ),
    "one of signed integers": (
        "QLinearConv",
        [
            *[int8(2, 3, 6, 6), scale(0.02), int8(), int8(4, 3, 3, 3)],
            *[scale(0.01), int8(), scale(1.3), int8()],
        ],
        {},
    ),
    "a product": (
        "QLinearMatMul",
        [
            *[uint8(6, 30), scale(0.02), unsigned(120), int8(30, 7), scale(0.01), signed(-3)],
            *[scale(0.937), unsigned(130)],
        ],
        {},
    ),
    "one with scales of columns": (
        "QLinearMatMul",
        [
            *[uint8(2, 6, 30), scale(0.02), uint8(), int8(30, 4)],
            *[scale(0.01, 0.02, 0.03, 0.04), int8(4), scale(1.9), uint8()],
        ],
        {},
    ),
}
FEW: dict[str, Form] = {
    "a convolution": (
        "QLinearConv",
        [
            *[uint8(1, 2, 4, 4), scale(0.02), uint8(), int8(3, 2, 2, 2)],
            *[scale(0.01, 0.02, 0.03), int8(3), scale(1.3), uint8()],
            int32(3),
        ],
        {"pads": (1, 0, 0, 1)},
    ),
    "a product": (
        "QLinearMatMul",
        [
            *[uint8(3, 5), scale(0.02, 0.01, 0.03), uint8(3), int8(5, 4)],
            *[scale(0.01, 0.02, 0.03, 0.04), int8(4), scale(0.9), uint8()],
        ],
        {},
    ),
}


def by_reference(node: Node, step: Step, inputs: Sequence[Array | None]) -> Array:
    given = {n: v for n, v in zip(node.inputs, inputs, strict=True) if v is not None}
    model = model_of([node], {name: v.dtype for name, v in step.outputs.items()}, given)
    [found] = ReferenceEvaluator(model).run(None, given)
    return np.asarray(found)


@pytest.mark.parametrize("name", QUANTISED)
@pytest.mark.parametrize("reference", [False, True])
def test_quantised_sums_are_those_of_a_runtime(name: str, reference: bool) -> None:
    operator, inputs, attributes = QUANTISED[name]
    node = node_of(operator, inputs, **attributes)
    step = evaluated(node, inputs)
    value = step.outputs["y0"]
    expected = by_reference(node, step, inputs) if reference else run_alone(node, step, inputs)[0]
    assert value.dtype == expected.dtype
    differ = value.values != expected
    assert np.all(np.abs(value.values - expected) <= step.local_deviation("y0", FLOAT32) * differ)
    assert differ.mean() <= QUANTISED_ELSEWHERE.limit
    inside = (expected > expected.min()) & (expected < expected.max())
    assert np.count_nonzero(inside) > inside.size // 3


def test_where_a_quotient_is_near_a_half_either_integer_is_right() -> None:
    """Half of the products are quantised to a half, but for the roundings of the scales."""
    largest = 0.0
    for factor in (0.1, 0.2, 0.7, 0.11, 0.13):
        inputs = [
            *[uint8(40, 12), scale(factor), unsigned(128)],
            *[RNG.integers(-2, 3, (12, 30)).astype(np.int8), scale(0.3), signed(0)],
            *[scale(2 * 0.3 * factor), unsigned(128)],
        ]
        node = node_of("QLinearMatMul", inputs)
        step = evaluated(node, inputs)
        [got] = run_alone(node, step, inputs)
        error = np.abs(got - step.outputs["y0"].values)
        deviation = step.local_deviation("y0", FLOAT32)
        largest = max(largest, float(error.max()))
        assert np.all(error <= deviation)
        total = (inputs[0].astype(int) - 128) @ inputs[3].astype(int)
        inside = np.abs(total) < 2 * 127
        np.testing.assert_array_equal(deviation[inside] >= 1, total[inside] % 2 == 1)
    assert largest == 1


def test_a_runtime_may_add_up_floats() -> None:
    """The products that integers stand for, added up one by one, then quantised."""
    length = 2000
    left, right = uint8(60, length), RNG.integers(-3, 4, (length, 100)).astype(np.int8)
    # One sum in 160 is nearly a half, by more the larger it is.
    step, of_left, of_right = scale(160 * 0.1 * 0.3 * (1 + 4e-7)), scale(0.1), scale(0.3)
    inputs = [
        *[left, of_left, unsigned(128), right, of_right, signed(0)],
        *[step, unsigned(128)],
    ]
    total = np.zeros((60, 100), np.float32)
    rows = (left.astype(np.float32) - 128) * of_left
    columns = right.astype(np.float32) * of_right
    for row, column in zip(rows.T, columns, strict=True):
        total += np.outer(row, column)
    got = np.clip(np.rint(total / step) + 128, 0, 255)
    operation = operation_of("QLinearMatMul", inputs)
    [own] = operation.own(FLOAT32)
    assert own is not None
    error = np.abs(got - operation.outputs[0])
    assert error.max() == 1
    assert np.all(error <= UNIT * np.sqrt(own) * (1 + FLOAT32_VARIANCES.limit))


@pytest.mark.parametrize(
    ("terms", "bias", "squares"),
    [
        # S = b², and then (1 + K/6) + (K/3 + 4)
        (0, 1000, 1 + 1 / 6 + 1 / 3 + 4),
        # Of four terms of one size, one of them negative, S = q².
        (4, 0, 1 + 4 / 6 + 4 / 3 + 4),
    ],
)
def test_a_quotient_as_far_from_a_half_as_its_roundings_reach(
    terms: int, bias: int, squares: float
) -> None:
    maps = np.full((1, max(terms, 1), 1, 1), 10 if terms else 0, np.uint8)
    kernels = np.full((1, max(terms, 1), 1, 1), 7, np.int8)
    kernels[:, 3:] = -7
    for reached, predicted in ((0.98, True), (1.02, False)):
        half = 100.5
        quotient = half * (1 + reached * REACH * UNIT * squares**0.5)
        step = np.array((35 * terms + bias) / quotient)
        inputs = [
            *[maps, scale(1), unsigned(0), kernels, scale(1), signed(0)],
            *[step, unsigned(0), np.array([bias], np.int32)],
        ]
        [own] = operation_of("QLinearConv", inputs).own(FLOAT32)
        assert own is not None
        assert (own.item() > 0) == predicted


def quotient_of(operator: str, inputs: Sequence[Array | None], **attributes: Any) -> Array:
    """What is quantised, in float64."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, *_ = map(np.asarray, inputs)
    if operator == "QLinearMatMul":
        left = (x - x_zero[:, None]) * x_scale[:, None]
        return np.asarray(left @ ((w - w_zero) * w_scale) / y_scale)
    [total] = operation_of("ConvInteger", [x, w, x_zero, w_zero], **attributes).outputs
    bias = np.asarray(inputs[8])
    spread = (total + bias[:, None, None]) * (x_scale * w_scale)[:, None, None]
    return np.asarray(spread / y_scale)


@pytest.mark.parametrize(
    ("name", "index"), [(name, i) for name in FEW for i in range(len(FEW[name][1])) if i != 7]
)
def test_an_error_of_each_input_is_a_step_where_it_may_cross_one(name: str, index: int) -> None:
    operator, inputs, attributes = FEW[name]
    values = inputs[index]
    assert values is not None

    def function(given: Sequence[Array | None]) -> Array:
        return quotient_of(operator, given, **attributes)

    size = 1e-6  # so small that scales are linear
    moved = [None if v is None else v.astype(np.float64) for v in inputs]
    total = np.zeros(function(moved).shape)
    for place in np.ndindex(values.shape):
        changed = values.astype(np.float64)
        changed[place] += size
        given = [*moved[:index], changed, *moved[index + 1 :]]
        total += np.square((function(given) - function(moved)) / size)
    quotient, zero = function(moved), float(np.asarray(inputs[7]))
    halves = np.arange(0.5, 255) - zero
    distance = np.abs(quotient[..., None] - halves).min(axis=-1)
    # So large that it may carry half of them over a half.
    reached = total > 0
    deviation = 1.001 * float(np.median(distance[reached] / np.sqrt(total[reached]))) / REACH
    nothing = [None] * len(inputs)
    operation = operation_of(operator, inputs, **attributes)
    [found] = operation.carried(
        [*nothing[:index], variance_of(deviation, values), *nothing[index + 1 :]]
    )
    assert found is not None
    error = deviation * np.sqrt(total)
    expected = np.where(distance <= REACH * error, 1 + error, 0)
    assert 0 < (expected > 0).mean() < 1
    np.testing.assert_allclose(np.sqrt(found) * UNIT, expected, rtol=JACOBIAN.limit)


@pytest.mark.parametrize("name", FEW)
def test_an_error_of_the_zero_moves_all_quantised_sums(name: str) -> None:
    operator, inputs, attributes = FEW[name]
    nothing = [None] * len(inputs)
    [found] = operation_of(operator, inputs, **attributes).carried(
        [*nothing[:7], np.array(9, np.float32), *nothing[8:]]
    )
    assert found is not None
    assert np.all(found == 9)


def test_exact_inputs_bring_no_errors() -> None:
    for operator, inputs, attributes in FEW.values():
        operation = operation_of(operator, inputs, **attributes)
        assert operation.carried([None] * len(inputs)) == (None,)


def test_other_types_than_integers_of_few_bits_are_refused() -> None:
    operator, inputs, _ = FEW["a product"]
    with pytest.raises(Unsupported, match="quantising to int64"):
        operation_of(operator, [*inputs[:7], np.array(0, np.int64)])
