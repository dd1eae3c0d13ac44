"""Arithmetic element by element: values, and the size of errors from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.elementwise.arithmetic import RULES
from onnx_arbiter.operators.operation import REACH, UNIT
from parity_tests.support.carried_errors import always, assert_carried, variance_of
from parity_tests.support.operator_tolerances import CARRIED, FLOAT32_VARIANCES, OWN_LEAST
from parity_tests.support.operators import (
    FLOAT32,
    Draw,
    assert_predicted,
    evaluated,
    measure,
    node_of,
    run_alone,
)


def normal(*shapes: Sequence[int]) -> Draw:
    """Normal values of each shape."""
    return lambda rng: [rng.standard_normal(shape, np.float32) for shape in shapes]


def positive(*shapes: Sequence[int]) -> Draw:
    """Values from 0.25 to 3."""
    return lambda rng: [rng.uniform(0.25, 3, shape).astype(np.float32) for shape in shapes]


def between_steps(rng: np.random.Generator) -> Sequence[Array]:
    """Dividends whose quotients are no integers, and divisors."""
    quotients = rng.integers(0, 5, (10, 20)) + rng.uniform(0.1, 0.9, (10, 20))
    divisors = rng.uniform(0.25, 4, 20)
    return [(quotients * divisors).astype(np.float32), divisors.astype(np.float32)]


ROUNDED: dict[str, tuple[str, Draw]] = {
    "Add, broadcast": ("Add", normal((4, 3, 20), (3, 1))),
    "Sub, broadcast both ways": ("Sub", normal((3, 20), (4, 1, 1))),
    "Mul": ("Mul", normal((3, 20), (4, 1, 20))),
    "Div": ("Div", positive((3, 20), (4, 1, 20))),
    "Reciprocal": ("Reciprocal", positive((10, 20))),
    "Sqrt": ("Sqrt", positive((10, 20))),
    "Exp": ("Exp", normal((10, 20))),
    "Log": ("Log", positive((10, 20))),
    "Pow": ("Pow", positive((10, 20), (10, 1))),
    "Pow by a negative integer": (
        "Pow",
        lambda rng: [*positive((10, 20))(rng), np.array([-3], np.int64)],
    ),
    "Sum": ("Sum", normal((4, 20), (3, 1, 20), (20,), (1,))),
    "Mean": ("Mean", normal((4, 20), (3, 1, 20), (20,))),
    "Mean of four": ("Mean", normal((4, 20), (4, 20), (4, 1), (20,))),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_errors_have_the_predicted_size(name: str) -> None:
    operator, draw = ROUNDED[name]
    assert_predicted(measure(node_of(operator, draw(np.random.default_rng(0))), draw))


UNROUNDED: dict[str, tuple[str, Draw, int, dict[str, Any]]] = {
    "Neg": ("Neg", normal((10, 20)), 21, {}),
    "Abs": ("Abs", normal((10, 20)), 21, {}),
    "Max": ("Max", normal((10, 20), (20,), (4, 1, 1)), 21, {}),
    "Max of one": ("Max", normal((10, 20)), 21, {}),
    "Min": ("Min", normal((10, 20), (20,), (4, 1, 1)), 21, {}),
    "Mean of one": ("Mean", normal((10, 20)), 21, {}),
    "Sum of one": ("Sum", normal((10, 20)), 21, {}),
    "Mod": ("Mod", between_steps, 21, {"fmod": 1}),
    "Clip": (
        "Clip",
        lambda rng: [
            *normal((10, 20))(rng),
            np.array(-0.5, np.float32),
            np.array(0.75, np.float32),
        ],
        21,
        {},
    ),
    "Clip from above": (
        "Clip",
        lambda rng: [*normal((10, 20))(rng), None, np.array(0, np.float32)],
        21,
        {},
    ),
    "Clip by attributes": ("Clip", normal((10, 20)), 6, {"min": -0.5, "max": 0.75}),
    "Clip by an attribute": ("Clip", normal((10, 20)), 6, {"min": 0.25}),
    "Where": (
        "Where",
        lambda rng: [rng.random((10, 1)) < 0.5, *normal((4, 1, 20), (10, 20))(rng)],
        21,
        {},
    ),
}


@pytest.mark.parametrize("name", UNROUNDED)
def test_what_rounds_nothing_only_carries(name: str) -> None:
    operator, draw, version, attributes = UNROUNDED[name]
    inputs = draw(np.random.default_rng(0))
    node = node_of(operator, inputs, version=version, **attributes)
    assert_carried(measure(node, draw))


INTEGERS: dict[str, tuple[str, Sequence[Array], dict[str, Any]]] = {
    f"{operator} {np.dtype(kind).name} {attributes}": (
        operator,
        [np.array([7, -7, 7, -7, 6, 0], kind), np.array([2, 2, -2, -2, 3, 5], kind)],
        attributes,
    )
    for operator, attributes in [
        ("Add", {}),
        ("Sub", {}),
        ("Mul", {}),
        ("Div", {}),
        ("Mod", {}),
        ("Mod", {"fmod": 1}),
        ("Max", {}),
        ("Min", {}),
    ]
    for kind in (np.int32, np.int64)
} | {
    "Pow": ("Pow", [np.array([2, -3]), np.array([5, 3])], {}),
    "Neg": ("Neg", [np.array([2, -3])], {}),
    "Abs": ("Abs", [np.array([2, -3])], {}),
    "Clip": ("Clip", [np.array([2, -3, 9]), np.array(-1), np.array(4)], {}),
    "Where": ("Where", [np.array([True, False]), np.array([2, -3]), np.array([5])], {}),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_exact(name: str) -> None:
    operator, inputs, attributes = INTEGERS[name]
    node = node_of(operator, inputs, **attributes)
    step = evaluated(node, inputs)
    value = step.outputs["y0"]
    [expected] = run_alone(node, step, inputs)
    assert value.values.dtype == expected.dtype
    np.testing.assert_array_equal(value.values, expected)
    assert value.exact


def test_large_integers_stay_exact() -> None:
    inputs = [np.array([2**62 + 1]), np.array([3])]
    [result] = RULES["Div"](node_of("Div", inputs), inputs).outputs
    assert result == [(2**62 + 1) // 3]


def test_a_mean_of_two_rounds_only_their_sum() -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(9, np.float32) for _ in range(2)]
    step = evaluated(node_of("Mean", inputs), inputs)
    expected = UNIT * np.abs(step.outputs["y0"].values)
    np.testing.assert_allclose(
        step.local_deviation("y0", FLOAT32), expected, rtol=FLOAT32_VARIANCES.limit
    )


def test_a_square_has_the_error_of_one_value_twice() -> None:
    rng = np.random.default_rng(0)
    deviation = 1e-3
    for centre in (0.0, 1.0):
        values = np.full(100_000, centre)
        node = Node("square", "Mul", ("x0", "x0"), ("y0",))
        operation = RULES["Mul"](node, [values, values])
        twice = 2 * variance_of(deviation, values)
        first, second = (operation.carried(given)[0] for given in ([twice, None], [None, twice]))
        assert first is not None
        assert second is not None
        changed = np.square(values + deviation * rng.standard_normal(values.shape))
        observed = np.square(changed - np.square(values)).mean()
        assert abs(np.sqrt(observed / ((first + second).mean() * UNIT**2)) - 1) <= CARRIED.limit


def test_a_difference_of_one_value_has_no_error() -> None:
    values = np.ones(3)
    operation = RULES["Sub"](Node("zero", "Sub", ("x0", "x0"), ("y0",)), [values, values])
    [variance] = operation.carried([np.ones(3, np.float32), None])
    assert variance is not None
    assert not variance.any()


def test_a_rival_of_the_maximum_within_reach_passes_its_error_on() -> None:
    deviation = 1e-5
    rival = np.array([0.9, 1.1]) * -REACH * deviation
    node = node_of("Max", [rival, np.zeros(2)])
    [variance] = RULES["Max"](node, [rival, np.zeros(2)]).carried(
        [variance_of(deviation, rival), None]
    )
    assert variance is not None
    np.testing.assert_array_equal(variance > 0, [True, False])


def test_a_limit_of_a_clip_passes_its_error_on() -> None:
    inputs = [np.array([-1.0, 0.0, 1.0]), np.array(-0.5), np.array(0.5)]
    operation = RULES["Clip"](node_of("Clip", inputs), inputs)
    one = np.ones((), np.float32)
    [low], [high] = operation.carried([None, one, None]), operation.carried([None, None, one])
    np.testing.assert_array_equal(low, [1, 0, 0])
    np.testing.assert_array_equal(high, [0, 0, 1])


@pytest.mark.parametrize("operator", ["Mul", "Div", "Add"])
def test_sizes_that_are_computed_in_floats_are_exact(operator: str) -> None:
    inputs = [np.array([14.0, 28.0], np.float32), np.array(2.0, np.float32)]
    value = evaluated(node_of(operator, inputs), inputs).outputs["y0"]
    assert value.exact
    assert value.accumulated["float32"] is None


@pytest.mark.parametrize(
    ("operator", "at"),
    [
        ("Sqrt", [0.0]),
        ("Pow", [0.0, 0.5]),
        ("Pow", [0.0, 2.0]),
        ("Pow", [-2.0, 3.0]),
        ("Div", [0.0, 1e-9]),
        ("Exp", [-800.0]),
    ],
)
def test_finite_values_have_finite_variances(operator: str, at: Sequence[float]) -> None:
    inputs = [np.array([value]) for value in at]
    operation = RULES[operator](node_of(operator, inputs), inputs)
    given = [variance_of(1e-7, values) for values in inputs]
    [variance] = operation.carried([given[0], *[None] * (len(at) - 1)])
    assert np.isfinite(operation.outputs[0]).all()
    assert variance is not None
    assert np.isfinite(variance).all()


@pytest.mark.parametrize("exponent", [1, 2, 3, 4])
def test_a_power_of_zero_has_an_error_of_its_order(exponent: int) -> None:
    inputs = [np.zeros((4, 50), np.float32), np.array(exponent)]
    measured = measure(node_of("Pow", inputs), always(*inputs), perturbation=1e-2)
    # The mean of n⁸ is known to half of itself from 40,000 draws; of squares, to 2 %.
    least = 1 - CARRIED.limit if exponent < 3 else OWN_LEAST.limit
    assert least <= measured.carried <= 1 + CARRIED.limit
