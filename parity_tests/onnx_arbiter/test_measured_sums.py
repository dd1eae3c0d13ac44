"""The variance predicted of a sum of products is that of real float32, from both sides.

Every term of the formula dominates in some case, so that a term three times too wide fails as one
three times too narrow does. Exact sums are in float64; what is compared with them is computed in
float32, TF32, float16 or bfloat16, product by product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.error_model import ErrorVariance, squares_of
from onnx_arbiter.limits import Tolerance
from parity_tests.support.arithmetic import rounding
from parity_tests.support.arithmetic.rounding import ALL, HALVES, NEAREST, TRUNCATED
from parity_tests.support.tolerances import (
    MEASURED_VARIANCE,
    PURE_ROUNDING,
    UNIFORM_MANTISSAS,
)

Float64 = NDArray[np.float64]
DRAWS: Final = 10_000
M: Final = UNIFORM_MANTISSAS.limit


@dataclass(frozen=True)
class Case:
    """Sums to draw, and how the observed variance compares with the predicted one.

    Attributes:
        ratio: observed over predicted variance; the reason says what dominates and why it is that.
        mode, length, order: K products in an order of ``rounding.ORDERS``.
        signs: ``either``, ``one``, or ``cancel``, where the products add up to nearly nothing.
        bias: in units of a product; infinite: what the sum adds up to, with the other sign.
        read: what the layer reads: exact ``numbers``, a ``rounded`` value, or one with ``noise``.
    """

    ratio: Tolerance
    mode: str = "float32"
    length: int = 400
    order: str = "sequential"
    signs: str = "cancel"
    bias: float = 0.0
    read: str = "numbers"


CASES: Final = {
    # One term each, in float32.
    "S": Case(
        Tolerance(M / (1 + 1 / 6), "one product, which the bias cancels: S (1 + K/6) with K = 1"),
        length=1,
        bias=np.inf,
    ),
    "K/6": Case(Tolerance(M, "partial sums go from zero to zero: S (1 + K/6) and no y²")),
    "K/3": Case(
        Tolerance(M, "one sign, so that y² is K S 2/π: partial sums rise to y in a line"),
        length=100,
        signs="one",
    ),
    "input rounding": Case(
        Tolerance(2 * M / (2 + 1 / 6), "the product and the input round alike: S (2 + K/6)"),
        length=1,
        bias=np.inf,
        read="rounded",
    ),
    "input deviation": Case(
        Tolerance(1, "noise of the stated size is far above rounding"), length=50, read="noise"
    ),
    # Other orders. The model is that of the worst common one.
    "both": Case(Tolerance(M, "K/6 S and K/3 y² add up to K/2 S"), signs="either"),
    "backwards": Case(Tolerance(M, "the same bridge"), order="backwards"),
    "fused": Case(Tolerance(M, "no product rounds, of many"), order="fused"),
    "pairwise": Case(
        Tolerance(0.070, "log2 K sums over a value, not K/6: 8.5/67.7 of M"), order="pairwise"
    ),
    "in lanes": Case(
        Tolerance(0.21, "eight bridges of an eighth each do not end at zero"), order="in_lanes"
    ),
    "bias last": Case(
        Tolerance(3 * M / 100, "y² is the bias's: one rounding in place of K/3"),
        length=100,
        signs="either",
        bias=1e4,
    ),
    "bias first": Case(
        Tolerance(3 * M, "every partial sum is as large as y: K roundings in place of K/3"),
        length=100,
        signs="either",
        bias=1e4,
        order="bias_first",
    ),
    # Few bits.
    **{
        f"{mode} operands": Case(
            Tolerance(M, "what is stored: a weight, and an input where it arose; S each"), mode, 64
        )
        for mode in HALVES
    },
    **{
        f"{mode} inputs": Case(
            Tolerance(M, "the same two, of a rounded input"), mode, 64, read="rounded"
        )
        for mode in HALVES
    },
    **{
        f"{mode} outputs": Case(
            Tolerance(0.49, "y is stored twice; before its bias, it is a little smaller"),
            mode,
            64,
            signs="one",
            bias=3.0,
        )
        for mode in HALVES
    },
    **{
        f"{mode} bias": Case(
            Tolerance(M / 2, "y is stored twice; before its bias, it is little"),
            mode,
            64,
            signs="either",
            bias=100.0,
        )
        for mode in HALVES
    },
    "TF32 to the nearest": Case(
        Tolerance(M, "two operands, to the nearest: 2 S for the larger u"), NEAREST, 64
    ),
    "TF32 truncated, no sum": Case(
        Tolerance(M + 0.06, "an error about its mean varies alike; a little of m is left"),
        TRUNCATED,
        64,
    ),
    "TF32 truncated, one sign": Case(
        Tolerance(1, "all mean: K S 2/π c² against S"), TRUNCATED, 64, signs="one"
    ),
    "TF32 truncated, a large bias": Case(
        Tolerance(1, "a bias is no operand: it loses nothing"),
        TRUNCATED,
        64,
        signs="one",
        bias=1e3,
    ),
}


class Draws(NamedTuple):
    """(draws, K) weights and inputs, (draws,) biases: exact in the mode's weights and biases."""

    weights: Float64
    inputs: Float64
    bias: Float64


def drawn(case: Case) -> Draws:
    draw = np.random.default_rng(0)
    # Over one octave, so that every mantissa is as likely.
    scale = 2.0 ** draw.uniform(0, 1, (DRAWS, 1))
    products = draw.standard_normal((DRAWS, case.length))
    if case.signs == "one":
        products = np.abs(products)
    elif case.length > 1 and case.signs == "cancel":
        products -= products.mean(axis=1, keepdims=True)
    inputs = np.abs(draw.standard_normal(products.shape)) + 0.25
    weights = (scale * products / inputs).astype(np.float32).astype(np.float64)
    if case.read == "numbers":
        inputs = inputs.astype(np.float32).astype(np.float64)
    if np.isinf(case.bias):
        # Nearly: what is left is small, and its mantissa is any.
        bias = (weights * inputs).sum(axis=1) * (1e-3 * draw.standard_normal(DRAWS) - 1)
    else:
        bias = case.bias * scale[:, 0] * draw.uniform(1, 2, DRAWS)
    return Draws(weights, inputs, rounding.stored(bias, case.mode).astype(np.float64))


def predicted(case: Case, draws: Draws) -> Float64:
    weights, inputs, bias = draws
    noise = None if case.read != "noise" else NOISE * inputs
    error = ErrorVariance(ALL[case.mode], inputs, noise)
    if case.read == "rounded":
        # After any sum, what is read next is rounded.
        nothing = np.zeros(inputs.shape, np.float32)
        error.multiply(inputs, nothing, nothing, 1)
    products = (weights * inputs).sum(axis=1)
    squares = np.square(weights * inputs).sum(axis=1).astype(np.float32)
    carried = (squares_of(weights) * error.accumulated).sum(axis=1)
    error.multiply(products + bias, squares, carried, case.length)
    if error.bias is not None:
        error.truncate(products, np.zeros(DRAWS, np.float32))
    alone = case.read == "rounded"
    deviation = error.local_deviation() if alone else error.accumulated_deviation()
    return deviation.astype(np.float64)


def observed(case: Case, draws: Draws) -> Float64:
    weights, inputs, bias = draws
    if case.read == "noise":
        inputs = inputs * (1 + NOISE * np.random.default_rng(1).standard_normal(inputs.shape))
    read, held = (
        rounding.operands(rounding.stored(each, case.mode), case.mode) for each in (inputs, weights)
    )
    add = rounding.ORDERS[case.order]
    own = bias.astype(np.float32)
    if case.mode in HALVES:
        stored = rounding.stored(add(held, read, np.zeros_like(own)), case.mode)
        return rounding.stored(stored + own, case.mode).astype(np.float64)
    return add(held, read, own).astype(np.float64)


# Of an input, relative.
NOISE: Final = 1e-3


@pytest.mark.parametrize("name", CASES)
def test_the_variance_of_a_sum_is_that_of_real_arithmetic(name: str) -> None:
    case = CASES[name]
    draws = drawn(case)
    exact = (draws.weights * draws.inputs).sum(axis=1) + draws.bias
    errors = observed(case, draws) - exact
    ratio = np.square(errors).mean() / np.square(predicted(case, draws)).mean()
    assert case.ratio.limit / MEASURED_VARIANCE.limit < ratio, case.ratio.reason
    assert ratio < case.ratio.limit * MEASURED_VARIANCE.limit, case.ratio.reason


def test_every_order_of_summation_is_within_the_prediction_or_has_its_reason() -> None:
    assert {case.order for case in CASES.values()} == set(rounding.ORDERS)
    beyond = {name for name, case in CASES.items() if case.ratio.limit > 1}
    # Nothing else that a runtime may do reads more than the limit of R.
    assert beyond == {"bias first"}


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The error of rounding to float32, in predicted standard deviations."""
    unit = ALL["float32"].unit_variance ** 0.5
    scaled: NDArray[np.float64] = (values.astype(np.float32) - values) / (unit * np.abs(values))
    return scaled


def test_pure_rounding_of_log_uniform_values_has_an_rms_of_0_7355() -> None:
    values = 2 ** np.random.default_rng(0).uniform(-10, 10, 1_000_000)
    rms = np.sqrt(np.square(rounded(values)).mean())
    assert rms == pytest.approx(np.sqrt(3 / (8 * np.log(2))), rel=PURE_ROUNDING.limit)
    assert rms == pytest.approx(0.7355, rel=PURE_ROUNDING.limit)


def test_pure_rounding_has_that_r_whatever_the_scale_of_the_values() -> None:
    # R is the rms of all errors over that of all predictions: a value counts by its square. On
    # average over the scales that normal values may have, it is the same.
    normal = np.random.default_rng(1).standard_normal(250_000)
    squares = []
    for scale in 2 ** np.arange(0, 1, 1 / 16):
        values = scale * normal
        squares.append(np.average(np.square(rounded(values)), weights=np.square(values)))
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.7355, rel=PURE_ROUNDING.limit)
    assert max(squares) <= 1
