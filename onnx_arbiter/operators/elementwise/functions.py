"""Trigonometric and hyperbolic functions, their inverses, and the error function.

``own`` is what the least accurate of the usual libraries needs: rms errors measured in ONNX Runtime
1.32 and PyTorch 2.14 on a CPU, in √(u²/3) relative to y.
"""

# ruff: noqa: ARG001 - a rule takes the node, whether it needs it or not
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.elementwise import erf
from onnx_arbiter.operators.elementwise.slopes import TINY, arithmetic, curved, floats
from onnx_arbiter.operators.operation import Operation, Rule


def error_function(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = erf x: ``v = 4/π e^{-2x²} v_x + 2 y²``: 0.5 to 0.86, more in polynomials."""
    [x] = floats(inputs)
    slope = 2**1.5 * erf.density(x * 2**0.5)
    return arithmetic(inputs, erf.erf(x), [slope], 2.0)


def sin(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = sin x: ``v = cos²x v_x + 1.5 y² + 0.1``: 1.0; the constant is of π in few bits."""
    [x] = floats(inputs)
    result = np.sin(x)
    return arithmetic(inputs, result, [curved(np.cos(x), result)], 1.5, 0.1)


def cos(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = cos x: ``v = sin²x v_x + 1.5 y² + 0.1``, as of Sin."""
    [x] = floats(inputs)
    result = np.cos(x)
    return arithmetic(inputs, result, [curved(np.sin(x), result)], 1.5, 0.1)


def tan(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = tan x: ``v = (1 + y²)² v_x + 1.5 y²``: 0.95."""
    [x] = floats(inputs)
    result = np.tan(x)
    return arithmetic(inputs, result, [1 + np.square(result)], 1.5)


def asin(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = arcsin x: ``v = v_x / (1 - x²) + 9 y²``: 1.8 to 3.4 in ONNX Runtime."""
    [x] = floats(inputs)
    return arithmetic(inputs, np.arcsin(x), [_at_ends(x)], 9.0)


def acos(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = arccos x: ``v = v_x / (1 - x²) + 10 y²``: 1 to 3.4 in ONNX Runtime."""
    [x] = floats(inputs)
    return arithmetic(inputs, np.arccos(x), [_at_ends(x)], 10.0)


def _at_ends(values: NDArray[Any]) -> Callable[[Float32], NDArray[Any]]:
    """1 / √(1 - x²), which is infinite at ±1, where an error d makes one of √2d."""

    def slope(deviation: Float32) -> NDArray[Any]:
        inside = np.maximum((1 - values) * (1 + values), 0)
        return np.asarray(1 / np.maximum(np.sqrt(np.maximum(inside, deviation / 2)), TINY))

    return slope


def atan(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = arctan x: ``v = v_x / (1 + x²)² + 3.5 y²``: 0.7 to 1.9 in ONNX Runtime."""
    [x] = floats(inputs)
    return arithmetic(inputs, np.arctan(x), [1 / (1 + np.square(x))], 3.5)


def sinh(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = sinh x: ``v = cosh²x v_x + 1.6 y²``: 0.7 to 1.2."""
    [x] = floats(inputs)
    return arithmetic(inputs, np.sinh(x), [np.cosh(x)], 1.6)


def cosh(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = cosh x: ``v = sinh²x v_x + 1.6 y²``: 0.5 to 1.05."""
    [x] = floats(inputs)
    result = np.cosh(x)
    return arithmetic(inputs, result, [curved(np.sinh(x), result)], 1.6)


def asinh(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = arsinh x: ``v = v_x / (1 + x²) + 1.6 y²``: 0.5 to 1.05."""
    [x] = floats(inputs)
    return arithmetic(inputs, np.arcsinh(x), [1 / np.hypot(1, x)], 1.6)


def acosh(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = arcosh x: ``v = v_x / (x² - 1) + 1.6 y²``; near 1, an error d makes one of √2d."""
    [x] = floats(inputs)

    def slope(deviation: Float32) -> NDArray[Any]:
        beyond = np.maximum((x - 1) * (x + 1), deviation / 2)
        return np.asarray(1 / np.maximum(np.sqrt(beyond), TINY))

    return arithmetic(inputs, np.arccosh(x), [slope], 1.6)


def atanh(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = artanh x: ``v = v_x / (1 - x²)² + 1.6 y²``: 0.6 to 1.05."""
    [x] = floats(inputs)
    inside = np.maximum(np.abs((1 - x) * (1 + x)), TINY)
    return arithmetic(inputs, np.arctanh(x), [1 / inside], 1.6)


RULES: Final[dict[str, Rule]] = {
    "Erf": error_function,
    "Sin": sin,
    "Cos": cos,
    "Tan": tan,
    "Asin": asin,
    "Acos": acos,
    "Atan": atan,
    "Sinh": sinh,
    "Cosh": cosh,
    "Asinh": asinh,
    "Acosh": acosh,
    "Atanh": atanh,
}
