"""What each operator rounds itself: the variance that its docstring states, in u²/3, to the digit.

That these formulas are right, experiments show; here it is that they are what is computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest

from onnx_arbiter.numeric_modes import MODES, float32_units
from onnx_arbiter.operators.rules import rule_of
from parity_tests.support.operator_tolerances import FLOAT32_VARIANCES
from parity_tests.support.operators import node_of

Array = Any

# No value of these is a float32, so that nothing is exact.
X: Final = np.array([-2.3, -0.7, -0.2, 0.3, 0.9, 3.7])
POSITIVE: Final = np.array([0.1, 0.3, 0.7, 1.3, 2.6])
A, B = np.array([[0.3, -1.2, 0.7], [1.9, 0.1, -0.6]]), np.array([[0.9, 0.2, -1.7], [0.4, 1.1, 2.3]])
BELOW: Final = X < 0
SIGMOID: Final = 1 / (1 + np.exp(-X))
TANH: Final = np.tanh(X)


def squared(values: Array) -> Array:
    return np.square(np.asarray(values, np.float64))


def of_sum(squares: Array, result: Array, length: Any, roundings: float = 0.0) -> Array:
    """S (1 + K/6) + y² (K/3 + roundings)"""
    return squares * (1 + length / 6) + squared(result) * (length / 3 + roundings)


def mish() -> tuple[Array, Array]:
    result = X * np.tanh(np.log1p(np.exp(X)))
    return result, 5 * squared(result) + BELOW * 10 * squared(result) * np.minimum(X**2, 1)


def gelu(*, tanh: bool) -> Array:
    if tanh:
        inside = math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)
        inner = np.tanh(inside)
        gate = 3.5 * inner**2 + 6.5 * squared(inner * (1 - inner**2))
        gate = gate + 2 * squared(inside * (1 - inner**2))
    else:
        inner = np.vectorize(math.erf)(X / math.sqrt(2))
        gate = 1.2 + 20 * np.exp(-squared((np.abs(X) - 3) / 0.7))
    return 1.5 * squared(X * (1 + inner) / 2) + squared(X / 2) * gate


def exponential(alpha: float, gamma: float = 1.0, rate: float = 1.0) -> Array:
    scale = gamma * alpha
    result = np.where(BELOW, scale * np.expm1(rate * X), gamma * X)
    below = 0.6 * scale**2 + squared(result)
    if rate != 1:
        below = below + squared(scale * rate * np.exp(rate * X) * X)
    return np.where(BELOW, below, squared(result) if gamma != 1 else 0)


def swish(alpha: float) -> Array:
    gate = 1 / (1 + np.exp(-alpha * X))
    own = squared(X * gate) + X**2 * (0.9 + 0.7 * gate**2)
    return own if alpha == 1 else own + squared(alpha * X**2 * gate * (1 - gate))


def hard_swish() -> Array:
    hard = np.clip(X / 6 + 0.5, 0, 1)
    inside = np.abs(X) < 3
    return squared(X * hard) + inside * (squared(X * X / 6) + squared(X * hard))


def softmax(*, logarithm: bool) -> Array:
    t = A - A.max(-1, keepdims=True)
    total = np.exp(t).sum(-1, keepdims=True)
    p = np.exp(t) / total
    w, of_all = t**2 + 2, (p**2).sum(-1, keepdims=True) * 3 / 6 + 3 / 3
    of_all = of_all + (p**2 * (t**2 + 2)).sum(-1, keepdims=True)
    if logarithm:
        return squared(t - np.log(total)) + t**2 + squared(np.log(total)) + of_all
    return p**2 * (2 + of_all + np.maximum(w * (1 - 2 * p), 0))


def normalised(
    scale: Array | None, bias: Array | None, epsilon: float, *, centred: bool = True
) -> Array:
    """As the module of normalisations states it, over the last of two axes."""
    n = A.shape[-1]
    mean = A.mean(-1, keepdims=True) if centred else np.zeros((2, 1))
    r = 1 / np.sqrt(squared(A - mean).mean(-1, keepdims=True) + epsilon)
    z = (A - mean) * r
    of_mean = squared(A).mean(-1, keepdims=True) / 6 + mean**2 * (n / 3 + 1)
    second, fourth = squared(z).mean(-1, keepdims=True), (z**4).mean(-1, keepdims=True)
    of_root = 2.25 + (fourth * (5 + n / 6) / n + second**2 * (n / 3 + 1)) / 4
    own = z**2 * (2 + of_root)
    if centred:
        own = own + r**2 * (of_mean + A**2 + mean**2)
    if scale is not None:
        own = own * scale**2
    if bias is not None:
        own = own + squared(bias - mean * r * (1 if scale is None else scale))
        own = own + squared(z * (1 if scale is None else scale) + bias)
    return own


def local_response(size: int, alpha: float, beta: float, bias: float) -> Array:
    """LRN over three channels, each a row of one number."""
    x = A[:, :, None]
    around = [slice(max(0, c - (size - 1) // 2), c + size // 2 + 1) for c in range(3)]
    sums = np.stack([squared(x[:, each]).sum(1) for each in around], 1)
    fourths = np.stack([(x[:, each] ** 4).sum(1) for each in around], 1)
    factor, length = alpha / size, min(size, 3)
    d = bias + factor * sums
    of_d = (fourths * (1 + length / 6) + sums**2 * (length / 3 + 2)) * squared(factor / d)
    of_d = of_d + 2 * np.cumsum(d**2, axis=1) / d**2
    return squared(x * d**-beta) * (2 + squared(beta * np.log(d)) + beta**2 * of_d)


def log_sum_exp() -> Array:
    top = A.max(-1, keepdims=True)
    raised = np.log(np.exp(A - top).sum(-1, keepdims=True))
    p = np.exp(A - top - raised)
    parts = (p**2 * (3 + 3 / 6 + squared(A - top))).sum(-1, keepdims=True)
    return parts + 3 / 3 + 2 * raised**2 + squared(raised + top)


def norm_of(p: float) -> Array:
    powers = np.abs(A) ** p
    total = powers.sum(-1, keepdims=True)
    more = 0 if p == 2 else 1
    of_powers = of_sum((powers**2).sum(-1, keepdims=True), total, 3) + more * (powers**2).sum(
        -1, keepdims=True
    )
    return (of_powers / (p * total) ** 2 + 1 + more) * squared(total ** (1 / p))


def norm_quotient(p: int) -> Array:
    y = A / (np.abs(A) ** p).sum(-1, keepdims=True) ** (1 / p)
    if p == 1:
        return y**2 * (1 + (y**2).sum(-1, keepdims=True) * 3 / 6 + 3 / 3)
    return y**2 * (2 + ((y**4).sum(-1, keepdims=True) * (1 + 3 / 6) + 3 / 3) / 4)


LAST: Final = {"axis": -1}
_AXES: Final = np.array([-1])
W3: Final = np.array([[0.3, -0.7], [1.1, 0.2], [-0.4, 0.9]])
BIAS: Final = np.array([0.7, -1.3, 0.4])
SCALE: Final = np.array([1.3, -0.6, 0.2])
EPSILON: Final = 2.0**-5
_SUMMED: Final = squared(A).sum(-1, keepdims=True)
_TOTAL: Final = A.sum(-1, keepdims=True)

# Operator and inputs, attributes -> its own variance in float32.
OWN: Final[dict[str, tuple[str, Sequence[Array | None], dict[str, Any], Array]]] = {
    "Add": ("Add", [A, B], {}, squared(A + B)),
    "Sub": ("Sub", [A, B], {}, squared(A - B)),
    "Mul": ("Mul", [A, B], {}, squared(A * B)),
    "Div": ("Div", [A, B], {}, squared(A / B)),
    "Mod": ("Mod", [A, B], {}, squared(np.mod(A, B))),
    "Reciprocal": ("Reciprocal", [A], {}, squared(1 / A)),
    "Sqrt": ("Sqrt", [POSITIVE], {}, POSITIVE),
    "Exp": ("Exp", [X], {}, 1.5 * squared(np.exp(X))),
    "Log": ("Log", [POSITIVE], {}, 2.5 * squared(np.log(POSITIVE))),
    "Pow": ("Pow", [POSITIVE, np.array(1.7)], {}, 2 * squared(POSITIVE**1.7)),
    "Pow, squared": ("Pow", [X, np.array(2.0)], {}, squared(X**2)),
    "Pow, cubed": ("Pow", [X, np.array(3.0)], {}, 2 * squared(X**3)),
    "Sum": ("Sum", [A, B, A], {}, squared(A + B) + squared(A + B + A)),
    "Mean of two": ("Mean", [A, B], {}, squared(A + B) / 4),
    "Mean of three": (
        "Mean", [A, B, A], {},
        (squared(A + B) + squared(A + B + A)) / 9 + squared((A + B + A) / 3),
    ),
    "LeakyRelu": ("LeakyRelu", [X], {"alpha": 0.3}, BELOW * squared(0.3 * X)),
    "PRelu": ("PRelu", [X, np.array(0.3)], {}, BELOW * squared(0.3 * X)),
    "Elu": ("Elu", [X], {"alpha": 0.7}, exponential(0.7)),
    "Selu": ("Selu", [X], {"alpha": 1.7, "gamma": 1.1}, exponential(1.7, 1.1)),
    "Celu": ("Celu", [X], {"alpha": 0.7}, exponential(0.7, 1.0, 1 / 0.7)),
    "Sigmoid": ("Sigmoid", [X], {}, 0.7 * SIGMOID**2 + 0.9),
    "Tanh": ("Tanh", [X], {}, 3.5 * TANH**2 + 6.5 * squared(TANH * (1 - TANH**2))),
    "HardSigmoid": (
        "HardSigmoid", [X], {"alpha": 0.4},
        np.where(np.abs(X) < 1.25, squared(0.4 * X) + squared(0.4 * X + 0.5), 0),
    ),
    "HardSwish": ("HardSwish", [X], {}, hard_swish()),
    "Swish": ("Swish", [X], {"version": 24}, swish(1.0)),
    "Swish of another rate": ("Swish", [X], {"alpha": 1.5, "version": 24}, swish(1.5)),
    "Mish": ("Mish", [X], {}, mish()[1]),
    "Softplus": (
        "Softplus", [X], {},
        squared(np.log1p(np.exp(X))) + 3.8 * squared(np.minimum(np.log1p(np.exp(X)), 1)),
    ),
    "Softsign": ("Softsign", [X], {}, 2.2 * squared(X / (1 + np.abs(X)))),
    "Gelu": ("Gelu", [X], {}, gelu(tanh=False)),
    "Gelu by tanh": ("Gelu", [X], {"approximate": "tanh"}, gelu(tanh=True)),
    "Erf": ("Erf", [X], {}, 2 * squared(np.vectorize(math.erf)(X))),
    "Sin": ("Sin", [X], {}, 1.5 * squared(np.sin(X)) + 0.1),
    "Cos": ("Cos", [X], {}, 1.5 * squared(np.cos(X)) + 0.1),
    "Tan": ("Tan", [X], {}, 1.5 * squared(np.tan(X))),
    "Asin": ("Asin", [X / 4], {}, 9 * squared(np.arcsin(X / 4))),
    "Acos": ("Acos", [X / 4], {}, 10 * squared(np.arccos(X / 4))),
    "Atan": ("Atan", [X], {}, 3.5 * squared(np.arctan(X))),
    "Sinh": ("Sinh", [X], {}, 1.6 * squared(np.sinh(X))),
    "Cosh": ("Cosh", [X], {}, 1.6 * squared(np.cosh(X))),
    "Asinh": ("Asinh", [X], {}, 1.6 * squared(np.arcsinh(X))),
    "Acosh": ("Acosh", [1 + POSITIVE], {}, 1.6 * squared(np.arccosh(1 + POSITIVE))),
    "Atanh": ("Atanh", [X / 4], {}, 1.6 * squared(np.arctanh(X / 4))),
    "Softmax": ("Softmax", [A], LAST, softmax(logarithm=False)),
    "LogSoftmax": ("LogSoftmax", [A], LAST, softmax(logarithm=True)),
    "LayerNormalization": (
        "LayerNormalization", [A, SCALE, BIAS], {"epsilon": EPSILON},
        normalised(SCALE, BIAS, EPSILON),
    ),
    "LayerNormalization without a bias": (
        "LayerNormalization", [A, SCALE], {"epsilon": EPSILON}, normalised(SCALE, None, EPSILON)
    ),
    "RMSNormalization": (
        "RMSNormalization", [A, SCALE], {"epsilon": EPSILON, "version": 23},
        normalised(SCALE, None, EPSILON, centred=False),
    ),
    "LRN": (
        "LRN", [A[:, :, None]], {"size": 2, "alpha": 0.5, "beta": 0.75, "bias": 2.0},
        local_response(2, 0.5, 0.75, 2.0),
    ),
    "LpNormalization 1": ("LpNormalization", [A], {"p": 1}, norm_quotient(1)),
    "LpNormalization 2": ("LpNormalization", [A], {"p": 2}, norm_quotient(2)),
    "ReduceSum": ("ReduceSum", [A, _AXES], {}, of_sum(_SUMMED, _TOTAL, 3)),
    "ReduceMean": ("ReduceMean", [A, _AXES], {}, of_sum(_SUMMED / 9, _TOTAL / 3, 3, 2)),
    "ReduceProd": ("ReduceProd", [A, _AXES], {}, 3 * squared(A.prod(-1, keepdims=True))),
    "CumSum": (
        "CumSum", [A, np.array(1)], {},
        of_sum(np.cumsum(A**2, 1), np.cumsum(A, 1), np.array([1, 2, 3])),
    ),
    "ReduceL1": (
        "ReduceL1", [A, _AXES], {}, of_sum(_SUMMED, np.abs(A).sum(-1, keepdims=True), 3)
    ),
    "ReduceL2": ("ReduceL2", [A, _AXES], {}, norm_of(2)),
    "ReduceSumSquare": (
        "ReduceSumSquare", [A, _AXES], {},
        of_sum((A**4).sum(-1, keepdims=True), _SUMMED, 3),
    ),
    "ReduceLogSum": (
        "ReduceLogSum", [np.abs(A), _AXES], {},
        of_sum(_SUMMED, np.abs(A).sum(-1, keepdims=True), 3)
        / squared(np.abs(A).sum(-1, keepdims=True))
        + 2 * squared(np.log(np.abs(A).sum(-1, keepdims=True))),
    ),
    "ReduceLogSumExp": ("ReduceLogSumExp", [A, _AXES], {}, log_sum_exp()),
    "GlobalLpPool of order 3": (
        "GlobalLpPool", [A[:, None]], {"p": 3}, norm_of(3)[:, None]
    ),
    "GlobalAveragePool": (
        "GlobalAveragePool", [A[:, None]], {}, of_sum(_SUMMED / 9, _TOTAL / 3, 3, 2)[:, None]
    ),
    "MatMul": ("MatMul", [A, W3], {}, of_sum(A**2 @ W3**2, A @ W3, 3)),
    "Gemm": (
        "Gemm", [A, W3, BIAS[:2]], {"alpha": 0.5, "beta": 3.0},
        of_sum(0.25 * (A**2 @ W3**2), 0.5 * A @ W3 + 3 * BIAS[:2], 3, 1),
    ),
    "Gemm without an addend": (
        "Gemm", [A.T, W3.T], {"alpha": 2.0, "transA": 1, "transB": 1},
        of_sum(4 * (A**2 @ W3**2), 2 * A @ W3, 3),
    ),
    "Einsum": ("Einsum", [A, B], {"equation": "ij,ij->i"}, of_sum(
        (A**2 * B**2).sum(-1), (A * B).sum(-1), 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_nodes_own_variance_is_the_stated_one(name: str) -> None:
    operator, inputs, attributes, expected = OWN[name]
    node = node_of(operator, inputs, **attributes)
    rule = rule_of(node)
    assert rule is not None
    operation = rule(node, inputs)
    for mode in (MODES["float32"], MODES["bfloat16"]):
        found = operation.own(mode)[0]
        assert found is not None
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, float32_units(mode.sums) * expected, rtol=FLOAT32_VARIANCES.limit
        )
