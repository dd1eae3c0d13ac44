"""What tests of operators that round nothing have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.graph import Array
from onnx_arbiter.operators.operation import UNIT
from parity_tests.support.operator_tolerances import CARRIED
from parity_tests.support.operators import Draw, Measured


def variance_of(deviation: float, values: NDArray[Any]) -> NDArray[np.float32]:
    """The variance of errors of one deviation at every element."""
    return np.full(values.shape, (deviation / UNIT) ** 2, np.float32)


def always(*inputs: Array) -> Draw:
    """The same inputs in every draw."""
    return lambda rng: inputs  # noqa: ARG005 - nothing is drawn


def assert_carried(measured: Measured) -> None:
    """Values must be a runtime's own, and carried errors of the predicted size."""
    assert measured.ratio == 0, measured
    assert abs(measured.carried - 1) <= CARRIED.limit, measured
