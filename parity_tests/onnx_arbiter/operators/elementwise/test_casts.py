"""Changes of type: values, and what they round."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.elementwise.casts import RULES, type_of
from onnx_arbiter.operators.operation import REACH, Unsupported
from parity_tests.support.carried_errors import variance_of
from parity_tests.support.operator_tolerances import FLOAT32_VARIANCES
from parity_tests.support.operators import FLOAT32, evaluated, node_of, run_alone

TYPES = onnx.TensorProto
VALUES = np.array([0.1, -2.75, 3.3, 70000.0, 1e-9, 0.0], np.float32)
SMALL = np.array([0, 1, 3, 200], np.uint8)
CASES: dict[str, tuple[Array, int]] = {
    "float16": (VALUES, TYPES.FLOAT16),
    "bfloat16": (VALUES, TYPES.BFLOAT16),
    "double": (VALUES, TYPES.DOUBLE),
    "float": (VALUES.astype(np.float64) / 3, TYPES.FLOAT),
    "float of float16": (VALUES[:3].astype(np.float16), TYPES.FLOAT),
    "int32": (VALUES, TYPES.INT32),
    "bool": (VALUES, TYPES.BOOL),
    "int64 of uint8": (SMALL, TYPES.INT64),
    "bool of uint8": (SMALL, TYPES.BOOL),
    "float of uint8": (SMALL, TYPES.FLOAT),
    "float of large integers": (np.array([2**24 + 1, 2**40 + 1, -7]), TYPES.FLOAT),
    "float16 of integers": (np.array([2049, -7, 3]), TYPES.FLOAT16),
    "float of bool": (np.array([True, False]), TYPES.FLOAT),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_a_runtime(name: str) -> None:
    values, to = CASES[name]
    node = node_of("Cast", [values], to=to)
    step = evaluated(node, [values])
    value = step.outputs["y0"]
    if to == TYPES.BFLOAT16:  # which ONNX Runtime does not hand out
        got = values.astype(ml_dtypes.bfloat16)
    else:
        [got] = run_alone(node, step, [values])
    assert value.dtype == type_of(to) == got.dtype
    if value.values.dtype.kind != "f":
        np.testing.assert_array_equal(value.values, got)
        return
    finite = np.isfinite(value.values)
    widened = got.astype(np.float64)
    np.testing.assert_array_equal(widened[~finite], value.values[~finite])
    deviation = step.local_deviation("y0", FLOAT32)
    error = np.abs(widened[finite] - value.values[finite])
    assert np.all(error <= 3**0.5 * deviation[finite])


@pytest.mark.parametrize(
    ("values", "to", "roundoff"),
    [
        (VALUES[:3], TYPES.FLOAT16, 2.0**-11),
        (VALUES[:3], TYPES.BFLOAT16, 2.0**-8),
        (VALUES[:3].astype(np.float64) / 3, TYPES.FLOAT, 2.0**-24),
        (VALUES[:3], TYPES.DOUBLE, 0.0),
        (VALUES[:3].astype(np.float16), TYPES.FLOAT, 0.0),
        (SMALL, TYPES.FLOAT, 0.0),
    ],
)
def test_a_cast_rounds_to_the_bits_of_its_type(values: Array, to: int, roundoff: float) -> None:
    step = evaluated(node_of("Cast", [values], to=to), [values])
    value = step.outputs["y0"]
    expected = roundoff / 3**0.5 * np.abs(value.values)
    # float16's smallest number is added where it is stored.
    expected = np.hypot(expected, 2.0**-24 if to == TYPES.FLOAT16 else 0.0)
    np.testing.assert_allclose(
        step.local_deviation("y0", FLOAT32), expected, rtol=FLOAT32_VARIANCES.limit
    )
    assert value.exact == (roundoff == 0)


def test_an_error_passes_between_floats() -> None:
    values = np.array([1.5, -2.0])
    for to in (TYPES.FLOAT, TYPES.FLOAT16, TYPES.DOUBLE):
        operation = RULES["Cast"](node_of("Cast", [values], to=to), [values])
        [variance] = operation.carried([np.array([3, 5], np.float32)])
        np.testing.assert_array_equal(variance, [3, 5])


@pytest.mark.parametrize(
    ("to", "boundary", "firm"),
    [(TYPES.INT64, -3.0, 0.0), (TYPES.INT32, 1.0, 0.5), (TYPES.BOOL, 0.0, 1.0)],
)
def test_rounding_decides_an_integer_within_reach_of_a_step(
    to: int, boundary: float, firm: float
) -> None:
    deviation = 1e-6
    for value, decides in [
        (boundary + 0.9 * REACH * deviation, True),
        (boundary - 0.9 * REACH * deviation, True),
        (boundary + 1.1 * REACH * deviation, False),
        (firm, False),
    ]:
        values = np.array([value])
        operation = RULES["Cast"](node_of("Cast", [values], to=to), [values])
        operation.carried([variance_of(deviation, values)])
        assert operation.decides == [decides], value


def test_a_cast_like_another_value_has_its_type() -> None:
    values, like = VALUES[:3], np.zeros(1, np.float16)
    node = node_of("CastLike", [values, like])
    step = evaluated(node, [values, like], constants=[1])
    assert step.outputs["y0"].dtype == np.float16
    integers = evaluated(node, [values, np.zeros(1, np.int32)])
    np.testing.assert_array_equal(integers.outputs["y0"].values, [0, -2, 3])


def test_a_cast_like_a_computed_float_is_of_its_type() -> None:
    integers, like = np.array([3, 4]), np.zeros(1, np.float16)
    value = evaluated(node_of("CastLike", [integers, like]), [integers, like]).outputs["y0"]
    assert value.dtype == np.float16
    np.testing.assert_array_equal(value.values, [3, 4])


def test_types_without_a_rule_are_refused() -> None:
    with pytest.raises(Unsupported, match="type 17"):
        type_of(TYPES.FLOAT8E4M3FN)


def test_the_numbers_of_types_are_those_of_onnx() -> None:
    for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16):
        assert type_of(number) == onnx.helper.tensor_dtype_to_np_dtype(number)


def test_an_error_passes_into_a_double_as_it_is() -> None:
    like = np.zeros(1, np.float64)
    for values, passes in ((np.array([1.5, -2.0]), True), (np.array([3, 4]), False)):
        operation = RULES["CastLike"](node_of("CastLike", [values, like]), [values, like])
        variance = np.array([3, 5], np.float32)
        [carried] = operation.carried([variance, None])
        np.testing.assert_array_equal(carried, variance if passes else None)
        assert operation.carried([None, np.ones(1, np.float32)]) == (None,)
        assert operation.own(FLOAT32) == (None,)
        np.testing.assert_array_equal(operation.outputs[0], values)
