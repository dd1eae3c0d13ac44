"""The variance predicted of gradients is that of real float32, from both sides.

Every term of the formulas dominates in some case. What is compared is computed in float32, sum by
sum, and the exact values in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float32, Float64, ValueWithVariance
from onnx_arbiter.limits import Tolerance
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic import rounding
from parity_tests.support.tolerances import MEASURED_VARIANCE, UNIFORM_MANTISSAS
from vgg16_parity.judge.gradients.backward import (
    bias_gradient,
    input_gradient,
    loss_gradient,
    weight_gradient,
)
from vgg16_spec.architecture import Convolution, Dense, WeightedLayer

FLOAT32: Final = MODES["float32"]
M: Final = UNIFORM_MANTISSAS.limit
NOISE: Final = 1e-3


def assert_share(errors: Float64, variance: Float64, share: Tolerance) -> None:
    ratio = np.square(errors).mean() / variance.mean()
    found = ratio / share.limit
    assert 1 / MEASURED_VARIANCE.limit < found < MEASURED_VARIANCE.limit, (ratio, share.reason)


def exact(values: NDArray[np.floating]) -> ValueWithVariance:
    return ValueWithVariance(values.astype(np.float64), np.zeros(values.shape))


class Sums(NamedTuple):
    """K gradients or products of either sign, of one sign, or that cancel, in an order."""

    share: Tolerance
    signs: str
    length: int = 200
    order: str = "sequential"


BRIDGE: Final = "partial sums go from zero to zero: S K/6"
RISE: Final = "y² is K S 2/π: K/3 y² for partial sums that rise to y"
PRODUCT: Final = "one product, which is all that rounds: S (1 + K/6) + y² K/3 with K = 1"
PAIRS: Final = "log2 K sums over a value, not K/6"
OF_BIAS: Final = (
    Sums(Tolerance(M, BRIDGE), "cancel"),
    Sums(Tolerance(M, RISE), "one"),
    Sums(Tolerance(M, "S K/6 and y² K/3 are K/2 S"), "either"),
    Sums(Tolerance(0.108, PAIRS), "cancel", order="pairwise"),
    Sums(
        Tolerance(
            0.71, "S/2 + y² for two sums, of 2/3 S and y²: the first may be halfway, or exact"
        ),
        "either",
        3,
    ),
)
OF_PRODUCTS: Final = (
    Sums(Tolerance(M, BRIDGE), "cancel"),
    Sums(Tolerance(M, RISE), "one"),
    Sums(Tolerance(M / 1.5, PRODUCT), "either", 1),
    Sums(Tolerance(0.12, PAIRS), "cancel", order="pairwise"),
)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("case", OF_BIAS, ids=lambda case: case.share.reason)
def test_the_gradient_of_a_bias_rounds_as_predicted(case: Sums, maps: bool) -> None:
    ones = np.ones((case.length, 1), np.float32)
    terms, _ = rounding.draw_factors(case.length, (10_000, 1), case.signs)
    if case.signs == "cancel":
        terms -= terms.mean(axis=0, dtype=np.float64).astype(np.float32)
    # (N, out) or (1, out, 1, W)
    delta = terms.T[np.newaxis, :, np.newaxis] if maps else terms
    found = bias_gradient(exact(delta), FLOAT32)
    observed = rounding.sums(case.order, ones.T, terms.T)
    assert_share(observed - found.values, found.variance, case.share)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("case", OF_PRODUCTS, ids=lambda case: case.share.reason)
def test_the_gradient_of_a_weight_rounds_as_predicted(case: Sums, maps: bool) -> None:
    outputs, inputs = columns = (250, 40) if case.length > 1 else (2_500, 4)
    delta, read = rounding.draw_factors(case.length, columns, case.signs)
    layer: WeightedLayer = Dense("fc1", inputs, outputs, relu=True)
    given, of = exact(delta), exact(read)
    if maps:
        # (1, C, 1, W)
        layer = Convolution("block1_conv1", inputs, outputs, 1)
        given, of = (exact(each.T[np.newaxis, :, np.newaxis]) for each in (delta, read))
    blocks = list(weight_gradient(layer, given, of, FLOAT32))
    # Blocks of 64 rows, and the last one short.
    size = outputs if maps else 64
    assert [block.rows.start for block in blocks] == list(range(0, outputs, size))
    values, variance = (
        np.concatenate([getattr(block.gradient, kind) for block in blocks]).reshape(columns)
        for kind in ("values", "variance")
    )
    observed = rounding.sums(case.order, delta.T[:, np.newaxis], read.T[np.newaxis])
    assert_share(observed - values, variance, case.share)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("case", OF_PRODUCTS, ids=lambda case: case.share.reason)
def test_the_gradient_of_an_input_rounds_as_predicted(case: Sums, maps: bool) -> None:
    columns = (250, 40) if case.length > 1 else (2_500, 4)
    delta, weight = rounding.draw_factors(case.length, columns, case.signs)
    # Of an image, or of a position.
    (_, inputs), place = columns, (1, 1) if maps else ()
    layer = (
        Convolution("block1_conv1", inputs, case.length, 1)
        if maps
        else Dense("fc1", inputs, case.length, relu=True)
    )
    given = exact(delta.T.reshape(-1, case.length, *place))
    found = input_gradient(layer, weight.reshape(*weight.shape, *place), given, FLOAT32)
    observed = rounding.sums(case.order, delta.T[:, np.newaxis], weight.T[np.newaxis])
    assert_share(observed - found.values.reshape(columns), found.variance, case.share)


def test_sums_over_a_kernel_round_as_predicted() -> None:
    draw = np.random.default_rng(0)
    layer = Convolution("block1_conv1", 4, 6, 3)
    weight = draw.standard_normal(layer.weight_shape).astype(np.float32)
    delta, read = (draw.standard_normal((8, c, 12, 12)).astype(np.float32) for c in (6, 4))
    (block,) = weight_gradient(layer, exact(delta), exact(read), FLOAT32)
    windows = sliding_window_view(np.pad(read, PADDED), (3, 3), axis=(2, 3))
    # (out, in, kH, kW, N * H * W)
    observed = rounding.sums(
        "sequential",
        delta.swapaxes(0, 1).reshape(6, 1, 1, 1, -1),
        windows.transpose(1, 4, 5, 0, 2, 3).reshape(1, 4, 3, 3, -1),
    )
    share = Tolerance(M, "K/2 S, with K of all positions, few of which read the edge")
    ratio = np.square(observed - block.gradient.values).mean() / block.gradient.variance.mean()
    assert 1 / FEW.limit < ratio / share.limit < FEW.limit, ratio
    below = input_gradient(layer, weight, exact(delta), FLOAT32)
    windows = sliding_window_view(np.pad(delta, PADDED), (3, 3), axis=(2, 3))
    # (N, in, H, W, out * kH * kW)
    observed = rounding.sums(
        "sequential",
        windows.transpose(0, 2, 3, 1, 4, 5).reshape(8, 1, 12, 12, -1),
        weight[:, :, ::-1, ::-1].swapaxes(0, 1).reshape(1, 4, 1, 1, -1),
    )
    inside = np.s_[:, :, 1:-1, 1:-1]
    assert_share((observed - below.values)[inside], below.variance[inside], share)


PADDED: Final = ((0, 0), (0, 0), (1, 1), (1, 1))
FEW: Final = Tolerance(1.3, "the same of 216 values: 10 % of noise in what is twice a mean square")


@pytest.mark.parametrize("layer", [Dense("fc1", 5, 90, True), Convolution("block1_conv1", 5, 9, 3)])
@pytest.mark.parametrize("noisy", ["delta", "inputs"])
def test_an_error_of_either_factor_is_carried_over(layer: WeightedLayer, noisy: str) -> None:
    draw = np.random.default_rng(0)
    maps = (6, 6) if isinstance(layer, Convolution) else ()
    outputs, inputs = layer.weight_shape[:2]
    weight = draw.standard_normal(layer.weight_shape).astype(np.float32)
    values = {
        "delta": draw.standard_normal((7, outputs, *maps)),
        "inputs": draw.standard_normal((7, inputs, *maps)),
    }
    sizes = {
        name: (name == noisy) * NOISE * draw.lognormal(size=each.shape)
        for name, each in values.items()
    }
    found = gradients_of(layer, weight, values, sizes)
    squares = {name: np.zeros(each.values.shape) for name, each in found.items()}
    draws = 200
    for _ in range(draws):
        changed = {
            name: each + sizes[name] * draw.standard_normal(each.shape)
            for name, each in values.items()
        }
        for name, each in gradients_of(layer, weight, changed, sizes).items():
            squares[name] += np.square(each.values - found[name].values) / draws
    for name, each in found.items():
        if noisy == "inputs" and name != "weight":
            continue
        ratio = squares[name].mean() / each.variance.mean()
        assert 1 / MEASURED_VARIANCE.limit < ratio < MEASURED_VARIANCE.limit, (name, ratio)


def gradients_of(
    layer: WeightedLayer,
    weight: Float32,
    values: dict[str, Float64],
    sizes: dict[str, Float64],
) -> dict[str, ValueWithVariance]:
    delta, inputs = (
        ValueWithVariance(values[name], np.square(sizes[name])) for name in ("delta", "inputs")
    )
    blocks = [block.gradient for block in weight_gradient(layer, delta, inputs, FLOAT32)]
    return {
        "bias": bias_gradient(delta, FLOAT32),
        "weight": ValueWithVariance(
            np.concatenate([block.values for block in blocks]),
            np.concatenate([block.variance for block in blocks]),
        ),
        "input": input_gradient(layer, weight, delta, FLOAT32),
    }


class Loss(NamedTuple):
    """Logits of so many classes, the second lower by so much; the class of interest and the label.

    The share is that of the squared errors in units of each predicted variance.
    """

    share: Tolerance
    classes: int
    below: float
    chosen: int
    label: int
    softmax: Callable[[Float32], Float32] = rounding.softmax


LOSSES: Final = (
    Loss(Tolerance(M, "shifted²: the difference to the largest logit is rounded"), 2, 30, 1, 0),
    Loss(
        Tolerance(0.167, "6 p²: exp, the sum and the quotient are half of them, and round well"),
        2,
        0,
        1,
        0,
    ),
    Loss(Tolerance(M, "K/3 p²: the sum of many alike"), 3000, 0, 5, 0),
    Loss(
        Tolerance(0.36, "log² total p², as much as K/3, of which a sum in pairs has little"),
        40,
        0,
        5,
        0,
        rounding.log_softmax,
    ),
    Loss(Tolerance(0.32, "2 δ²: p - 1, and the quotient by the number of images"), 2, 4, 1, 1),
)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.share.reason)
def test_the_gradient_of_the_loss_rounds_as_predicted(case: Loss) -> None:
    draw = np.random.default_rng(0)
    # No power of two.
    images = 10_000 if case.classes < 100 else 1_000
    logits = draw.uniform(-0.3, 0.3, (images, case.classes))
    logits[:, 1] -= case.below * draw.uniform(1, 2, images)
    single = logits.astype(np.float32)
    labels = np.full(images, case.label)
    found = loss_gradient(exact(single), labels, FLOAT32)
    delta = case.softmax(single) - (np.arange(case.classes) == case.label).astype(np.float32)
    errors = delta / np.float32(images) - found.values
    scaled = np.square(errors[:, case.chosen]) / found.variance[:, case.chosen]
    assert_share(np.sqrt(scaled), np.ones(1), case.share)


@pytest.mark.parametrize("noisy", range(3))
def test_an_error_of_the_logits_is_carried_over(noisy: int) -> None:
    draw = np.random.default_rng(0)
    logits = np.tile([[0.0, 1.0, -0.5]], (20_000, 1))
    deviation = NOISE * (np.arange(3) == noisy) * np.ones_like(logits)
    labels = np.full(len(logits), 2)
    found = loss_gradient(ValueWithVariance(logits, np.square(deviation)), labels, FLOAT32)
    changed = logits + deviation * draw.standard_normal(logits.shape)
    errors = loss_gradient(exact(changed), labels, FLOAT32).values - found.values
    for chosen in range(3):
        share = Tolerance(1, f"noise, far above rounding, as it reaches class {chosen}")
        assert_share(errors[:, chosen], found.variance[:, chosen], share)
