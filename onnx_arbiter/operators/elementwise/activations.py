"""Activation functions.

``own`` is what the least accurate of the usual libraries needs: rms errors measured in ONNX Runtime
1.32 and PyTorch 2.14 on a CPU for ∣x∣ from 1e-6 to 80, in √(u²/3), relative to y unless a text says
absolute.
"""

# ruff: noqa: ARG001 - a rule takes the node, whether it needs it or not
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.operators.elementwise.erf import density, erf
from onnx_arbiter.operators.elementwise.slopes import (
    RoundsNothing,
    curved,
    floats,
    holds_floats,
    kinked,
    stepped,
)
from onnx_arbiter.operators.operation import (
    REACH,
    Elementwise,
    Exact,
    Operation,
    Rule,
    Slope,
    squares_of,
)

# Where e⁻ˣ overflows float64, a sigmoid is 0 long since.
_FAR: Final = 700.0


def sigmoid_of(values: Float64) -> Float64:
    """1 / (1 + e⁻ˣ)."""
    result: Float64 = 1 / (1 + np.exp(np.minimum(-values, _FAR)))
    return result


def tanh_error(result: NDArray[Any]) -> NDArray[Any]:
    """What a tanh adds to the variance 3.5 y²: rational approximations err by 3.2 near zero."""
    return np.asarray(6.5 * np.square(result * (1 - np.square(result))))


def _function(
    inputs: Sequence[Array | None],
    result: NDArray[Any],
    slopes: Sequence[Slope],
    roundings: float,
    absolute: Any = 0.0,
) -> Operation:
    # Functions of an array without axes give numbers.
    return Elementwise(inputs, np.asarray(result), slopes, roundings, absolute)


def relu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = max(x, 0): ``v = v_x`` where x may be positive, within `REACH` deviations."""
    if not holds_floats(inputs[0]):
        return Exact(inputs, [np.maximum(np.asarray(inputs[0]), 0)])
    [x] = floats(inputs)

    def slope(deviation: Float32) -> NDArray[Any]:
        return np.asarray(x >= -REACH * deviation, np.float32)

    return RoundsNothing(inputs, np.maximum(x, 0), [slope])


def leaky_relu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x, α x below 0: ``v = v_x``, ``α² v_x + y²`` below."""
    [x] = floats(inputs)
    alpha = node.get("alpha", float(np.float32(0.01)))
    result, slope = np.where(x < 0, alpha * x, x), np.where(x < 0, abs(alpha), 1.0)
    kink = kinked(np.abs(x), slope, max(abs(alpha), 1.0))
    return _function(inputs, result, [kink], 0.0, _where_below(x, squares_of(result)))


def _where_below(values: NDArray[Any], absolute: NDArray[Any]) -> NDArray[Any]:
    return np.where(values < 0, absolute, np.float32(0))


def prelu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x, s x below 0: ``v = v_x``, ``s² v_x + x² v_s + y²`` below."""
    values, weights = (np.asarray(given) for given in inputs)
    if node.version < 7 and weights.ndim == 1 and weights.size > 1:  # one for each channel
        weights = weights.reshape(-1, *[1] * (values.ndim - 2))
        inputs = [values, weights]
    if not holds_floats(values):
        return Exact(inputs, [np.where(values < 0, weights * values, values)])
    x, alpha = floats(inputs)
    result = np.where(x < 0, alpha * x, x)
    size = np.abs(alpha)
    kink = kinked(np.abs(x), np.where(x < 0, size, 1.0), np.maximum(size, 1.0))
    slopes: list[Slope] = [kink, np.where(x < 0, -x, 0.0)]
    return _function(inputs, result, slopes, 0.0, _where_below(x, squares_of(result)))


def thresholded_relu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x above α, else 0: ``v = v_x`` above; a step of α within `REACH` of it."""
    [x] = floats(inputs)
    alpha = node.get("alpha", 1.0)
    slope = stepped(np.abs(x - alpha), abs(alpha), (x > alpha).astype(np.float32))
    return RoundsNothing(inputs, np.where(x > alpha, x, 0.0), [slope])


def elu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x, α (eˣ - 1) below 0: ``v = v_x``, ``(α eˣ)² v_x + 0.6 α² + y²`` below.

    Where eˣ - 1 is computed as such, and not by expm1, its error is 0.76, absolute.
    """
    return _exponential(inputs, node.get("alpha", 1.0), 1.0, 1.0)


def selu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = γ elu(x): the variances of Elu, times γ², and of a product by γ."""
    alpha = node.get("alpha", 1.6732631921768188)
    return _exponential(inputs, alpha, node.get("gamma", 1.0507010221481323), 1.0)


def celu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x, α (e^{x/α} - 1) below 0: as Elu, and ``x² e^{2x/α}`` for the quotient."""
    alpha = node.get("alpha", 1.0)
    return _exponential(inputs, alpha, 1.0, 1 / alpha)


def _exponential(
    inputs: Sequence[Array | None], alpha: float, gamma: float, rate: float
) -> Operation:
    """Give y = γ x, γ α (e^{rate x} - 1) below 0."""
    [x] = floats(inputs)
    power = np.exp(rate * np.minimum(x, 0))
    scale = gamma * alpha
    result = np.where(x < 0, scale * np.expm1(rate * np.minimum(x, 0)), gamma * x)
    below, squares = abs(scale * rate) * power, squares_of(result)
    slope = np.where(x < 0, below, gamma)
    own = 0.6 * scale**2 + squares
    if rate != 1:
        own = own + np.square(below * x)
    above = squares if gamma != 1 else np.float32(0)
    kink = kinked(np.abs(x), slope, max(gamma, abs(scale * rate)))
    return _function(inputs, result, [kink], 0.0, np.where(x < 0, own, above))


def sigmoid(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = 1 / (1 + e⁻ˣ): ``v = (y (1 - y))² v_x + 0.7 y² + 0.9``.

    Rational approximations of the logistic function err by 0.95, absolute, down to x = -18.
    """
    [x] = floats(inputs)
    result = sigmoid_of(x)
    return _function(inputs, result, [result * sigmoid_of(-x)], 0.7, 0.9)


def tanh(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = tanh x: ``v = (1 - y²)² v_x + 3.5 y² + 6.5 y² (1 - y²)²``: 1.9; 3.2 near 0."""
    [x] = floats(inputs)
    result = np.tanh(x)
    return _function(inputs, result, [1 - np.square(result)], 3.5, tanh_error(result))


def hard_sigmoid(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = αx + β within [0, 1]: ``v = α² v_x + (αx)² + y²`` where a limit does not hold."""
    [x] = floats(inputs)
    alpha, beta = node.get("alpha", float(np.float32(0.2))), node.get("beta", 0.5)
    result, inside, distance = _hard(x, alpha, beta)
    kink = kinked(distance, abs(alpha) * inside, abs(alpha))
    own = np.square(alpha * x) + np.square(result)
    # A sum that rounding brings to a limit has its error there.
    near = inside | (distance * abs(alpha) <= 1e-6)
    return _function(inputs, result, [kink], 0.0, np.where(near, own, 0.0))


def _hard(x: Float64, alpha: float, beta: float) -> tuple[Float64, NDArray[np.bool_], NDArray[Any]]:
    """The values, where they are between the limits, and how far x is from a kink."""
    line = alpha * x + beta
    distance = np.minimum(np.abs(line), np.abs(line - 1)) / max(abs(alpha), 1e-30)
    return np.clip(line, 0, 1), (line > 0) & (line < 1), distance


def hard_swish(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x h, h = HardSigmoid with 1/6 and 1/2: ``v = (h + x/6)² v_x + x² (x/6)² + 2 y²``.

    Above 3, where h is 1, ``v = v_x + y²``: PyTorch computes 6 x / 6.
    """
    [x] = floats(inputs)
    hard, inside, distance = _hard(x, 1 / 6, 0.5)
    result = x * hard
    slope = np.where(inside, hard + x / 6, hard)
    bend = curved(slope, inside / 3)
    at_kink = kinked(distance, np.abs(slope), np.where(x < 0, 0.5, 1.5))
    own = np.where(inside, np.square(x * x / 6) + np.square(result), 0.0)

    def steep(deviation: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(np.maximum(bend(deviation), at_kink(deviation)))

    return _function(inputs, result, [steep], 1.0, own)


def swish(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x σ(αx): ``v = y'² v_x + x² (0.7 σ² + 0.9) + y²``, as of Sigmoid and a product."""
    [x] = floats(inputs)
    alpha = node.get("alpha", 1.0)
    gate = sigmoid_of(alpha * x)
    steep = gate * sigmoid_of(-alpha * x)
    first = gate + alpha * x * steep
    second = alpha * steep * (2 + alpha * x * (1 - 2 * gate))
    own = np.square(x) * (0.9 + 0.7 * np.square(gate))
    if alpha != 1:
        own = own + np.square(alpha * x * x * steep)
    return _function(inputs, x * gate, [curved(first, second)], 1.0, own)


def mish(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x tanh(ln(1 + eˣ)): ``v = y'² v_x + 5 y² + 10 y² min(x², 1)`` (the last below 0).

    Where it is put together of its parts, it errs by 2.3 above 0 and by 3.8 below.
    """
    [x] = floats(inputs)
    inner = np.tanh(np.logaddexp(0, x))
    gate = sigmoid_of(x)
    steep = (1 - np.square(inner)) * gate
    result = x * inner
    bend = steep * (1 - gate - 2 * inner * gate)
    slope = curved(inner + x * steep, 2 * steep + x * bend)
    own = _where_below(x, 10 * np.square(result) * np.minimum(np.square(x), 1))
    return _function(inputs, result, [slope], 5.0, own)


def softplus(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = ln(1 + eˣ): ``v = σ(x)² v_x + y² + 3.8 min(y, 1)²``: 0.8 above 4, 2.2 below -1."""
    [x] = floats(inputs)
    result = np.logaddexp(0, x)
    own = 3.8 * np.square(np.minimum(result, 1))
    return _function(inputs, result, [sigmoid_of(x)], 1.0, own)


def softsign(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x / (1 + ∣x∣): ``v = v_x / (1 + ∣x∣)⁴ + 2.2 y²``: a sum and a quotient."""
    [x] = floats(inputs)
    below = 1 + np.abs(x)
    return _function(inputs, x / below, [1 / np.square(below)], 2.2)


def gelu(node: Node, inputs: Sequence[Array | None]) -> Operation:
    """Give y = x g, g = (1 + e(x)) / 2: ``v = y'² v_x + 1.5 y² + (x / 2)² v_e``.

    e is erf(x / √2), with v_e of 1.2 and of 20 more around ∣x∣ = 3, where PyTorch's vectorised code
    errs by 4.9; or a tanh that approximates it.
    """
    [x] = floats(inputs)
    if node.get("approximate", "none") == "tanh":
        scale, cubic = (2 / np.pi) ** 0.5, 0.044715
        inside = scale * (x + cubic * x**3)
        rate, bend = scale * (1 + 3 * cubic * np.square(x)), scale * 6 * cubic * x
        inner = np.tanh(inside)
        steep = 1 - np.square(inner)
        first = (1 + inner + x * steep * rate) / 2
        second = steep * rate + x / 2 * steep * (bend - 2 * inner * np.square(rate))
        of_gate = 3.5 * np.square(inner) + tanh_error(inner)
        of_gate = of_gate + 2 * np.square(inside * steep)
    else:
        inner = erf(x / 2**0.5)
        first = (1 + inner) / 2 + x * density(x)
        second = density(x) * (2 - np.square(x))
        of_gate = 1.2 + 20 * np.exp(-np.square((np.abs(x) - 3) / 0.7))
    result = x * (1 + inner) / 2
    own = np.square(x / 2) * of_gate
    return _function(inputs, result, [curved(first, second)], 1.5, own)


RULES: Final[dict[str, Rule]] = {
    "Relu": relu,
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "ThresholdedRelu": thresholded_relu,
    "Elu": elu,
    "Selu": selu,
    "Celu": celu,
    "Sigmoid": sigmoid,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Swish": swish,
    "Mish": mish,
    "Tanh": tanh,
    "Softplus": softplus,
    "Softsign": softsign,
    "Gelu": gelu,
}
