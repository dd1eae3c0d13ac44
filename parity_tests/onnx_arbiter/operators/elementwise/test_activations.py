"""Activation functions: values, and the size of their errors from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.evaluate import Step
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.elementwise.activations import RULES
from onnx_arbiter.operators.operation import REACH, UNIT
from parity_tests.support.carried_errors import always, assert_carried, variance_of
from parity_tests.support.operator_tolerances import CARRIED
from parity_tests.support.operators import Draw, assert_predicted, measure, node_of


def normal(scale: float = 1.0, shift: float = 0.0) -> Draw:
    """Normal values, in the shape of maps."""

    def draw(rng: np.random.Generator) -> Sequence[Array]:
        values = scale * rng.standard_normal((2, 3, 5, 7)) + shift
        return [values.astype(np.float32)]

    return draw


CASES: dict[str, tuple[str, Draw, dict[str, Any]]] = {
    "LeakyRelu": ("LeakyRelu", normal(), {}),
    "LeakyRelu, steeper below": ("LeakyRelu", normal(), {"alpha": 2.75}),
    "PRelu": (
        "PRelu",
        lambda rng: [*normal()(rng), rng.standard_normal((3, 1, 1), np.float32)],
        {},
    ),
    "Elu": ("Elu", normal(), {"alpha": 1.25}),
    "Selu": ("Selu", normal(), {}),
    "Celu": ("Celu", normal(), {"alpha": 0.75}),
    "Sigmoid": ("Sigmoid", normal(4), {}),
    "Tanh": ("Tanh", normal(), {}),
    "Tanh near zero": ("Tanh", normal(0.01), {}),
    "HardSigmoid": ("HardSigmoid", normal(2), {}),
    "HardSigmoid, stated": ("HardSigmoid", normal(2), {"alpha": 0.375, "beta": 0.25}),
    "HardSwish": ("HardSwish", normal(), {}),
    "HardSwish below zero": ("HardSwish", normal(0.5, -1.4), {}),
    "Mish": ("Mish", normal(2), {}),
    "Softplus": ("Softplus", normal(4), {}),
    "Softsign": ("Softsign", normal(2), {}),
    "Gelu": ("Gelu", normal(), {}),
    "Gelu by a tanh": ("Gelu", normal(), {"approximate": "tanh"}),
}


@pytest.mark.parametrize("name", CASES)
def test_errors_have_the_predicted_size(name: str) -> None:
    operator, draw, attributes = CASES[name]
    node = node_of(operator, draw(np.random.default_rng(0)), version=22, **attributes)
    assert_predicted(measure(node, draw))


def beside_a_half(rng: np.random.Generator) -> Sequence[Array]:
    """Values that errors do not bring to the other side of 1/2."""
    values = rng.choice([-1, 1], 200) * rng.uniform(0.1, 1, 200) + 0.5
    return [values.astype(np.float32)]


@pytest.mark.parametrize("operator", ["Relu", "ThresholdedRelu"])
def test_what_rounds_nothing_only_carries(operator: str) -> None:
    attributes: dict[str, Any] = {"alpha": 0.5} if operator == "ThresholdedRelu" else {}
    node = node_of(operator, [np.zeros(200)], version=22, **attributes)
    assert_carried(measure(node, beside_a_half))


@pytest.mark.parametrize(
    ("operator", "slope_below"), [("Relu", 0.0), ("LeakyRelu", 0.25), ("HardSwish", 0.5)]
)
def test_an_error_passes_a_kink_within_reach(operator: str, slope_below: float) -> None:
    deviation = 1e-5
    depths = np.array([-2.0, -0.9, 0.9, 2.0]) * REACH * deviation
    node = node_of(operator, [depths], version=22, alpha=0.25)
    [variance] = RULES[operator](node, [depths]).carried([variance_of(deviation, depths)])
    assert variance is not None
    slopes = np.sqrt(variance) * UNIT / deviation
    near = 1.0 if operator != "HardSwish" else 0.5
    far_above = 1.0 if operator != "HardSwish" else 0.5
    np.testing.assert_allclose(slopes, [slope_below, near, near, far_above], rtol=CARRIED.limit)


def test_the_minimum_of_gelu_has_an_error_of_the_second_order() -> None:
    lowest = np.full((4, 50), -0.7517916, np.float32)
    node = node_of("Gelu", [lowest])
    measured = measure(node, always(lowest), perturbation=1e-2)
    assert abs(measured.carried - 1) <= CARRIED.limit


def test_prelu_of_old_versions_has_a_slope_for_each_channel() -> None:
    values, slopes = np.full((1, 3, 2, 2), -1.0), np.array([1.0, 2.0, 3.0], np.float32)
    node = node_of("PRelu", [values, slopes], version=6)
    [result] = RULES["PRelu"](node, [values, slopes]).outputs
    np.testing.assert_array_equal(result[0, :, 1, 1], -slopes)


@pytest.mark.parametrize("operator", ["Swish", "Selu", "Mish", "Softplus", "Sigmoid", "Gelu"])
def test_far_values_stay_finite(operator: str) -> None:
    far = np.array([-3e38, -1e4, -90, 90, 1e4, 1e18])
    operation = RULES[operator](node_of(operator, [far]), [far])
    [variance] = operation.carried([np.ones(far.shape, np.float32)])
    assert np.isfinite(operation.outputs[0]).all()
    assert variance is not None
    assert np.isfinite(variance).all()


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_swish_is_a_product_by_a_sigmoid(alpha: float) -> None:
    def composed(node: Node, step: Step, inputs: Sequence[Array | None]) -> list[Array]:
        values = np.asarray(inputs[0])
        gate = 1 / (1 + np.exp(-np.float32(alpha) * values))
        assert gate.dtype == np.float32
        return [values * gate]

    node = node_of("Swish", normal(2)(np.random.default_rng(0)), version=24, alpha=alpha)
    assert_predicted(measure(node, normal(2), run=composed))
