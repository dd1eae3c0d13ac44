"""Sums, layers and networks as a runtime rounds them, in real float32 and in several orders.

An order sums products over the last axis of arrays of float32; each element of the result is a sum
of its own, so that one call makes all the draws of a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from differences.arithmetic import tf32
from onnx_arbiter.expectations import Prediction
from onnx_arbiter.numeric_modes import MODES, TRUNCATED_TF32, Mode
from parity_tests.support.arithmetic.layers import Layer, run_layers
from vgg16_parity.network import reference
from vgg16_spec.architecture import Convolution, MaxPooling, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
# Weights, inputs and biases -> sums.
Order: TypeAlias = Callable[[Float32, Float32, Float32], Float32]

_LANES: Final = 8
NEAREST: Final = "tf32"
TRUNCATED: Final = TRUNCATED_TF32.name
HALVES: Final = ("float16", "bfloat16")
# Every numeric mode, and TF32 of hardware that truncates.
ALL: Final[Mapping[str, Mode]] = MappingProxyType({**MODES, TRUNCATED: TRUNCATED_TF32})


def sequential(weights: Float32, inputs: Float32, bias: Float32) -> Float32:
    """One product after the other; the bias last."""
    return _running(weights * inputs) + bias


def backwards(weights: Float32, inputs: Float32, bias: Float32) -> Float32:
    """From the last product to the first; the bias last."""
    return _running((weights * inputs)[..., ::-1]) + bias


def bias_first(weights: Float32, inputs: Float32, bias: Float32) -> Float32:
    """An accumulator that starts with the bias."""
    return _running(np.concatenate([bias[..., np.newaxis], weights * inputs], axis=-1))


def fused(weights: Float32, inputs: Float32, bias: Float32) -> Float32:
    """Fused multiply-adds: each rounds once. float64 holds a product of float32 exactly."""
    total = np.zeros(bias.shape, np.float32)
    exact = weights.astype(np.float64) * inputs
    for product in np.moveaxis(exact, -1, 0):
        total = (total + product).astype(np.float32)
    return total + bias


def pairwise(weights: Float32, inputs: Float32, bias: Float32) -> Float32:
    """Neighbours first, then neighbouring pairs; the bias last."""
    return _in_pairs(weights * inputs) + bias


def in_lanes(weights: Float32, inputs: Float32, bias: Float32) -> Float32:
    """Every eighth product in a sum of its own, as SIMD does it, then those; the bias last."""
    products = weights * inputs
    spare = -products.shape[-1] % _LANES
    padded = np.pad(products, [*[(0, 0)] * (products.ndim - 1), (0, spare)])
    lanes = padded.reshape(*products.shape[:-1], -1, _LANES)
    return _in_pairs(_running(lanes.swapaxes(-1, -2))) + bias


ORDERS: Final[Mapping[str, Order]] = MappingProxyType(
    {each.__name__: each for each in (sequential, backwards, fused, bias_first, pairwise, in_lanes)}
)


def sums(order: str, left: Float32, right: Float32) -> Float32:
    """The sums over the last axis of products, of two arrays that broadcast; no bias."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    one, other = (np.broadcast_to(each, shape) for each in (left, right))
    return ORDERS[order](one, other, np.zeros(shape[:-1], np.float32))


def draw_factors(
    length: int, columns: tuple[int, int], signs: str, seed: int = 0
) -> tuple[Float32, Float32]:
    """Two factors, (K, m) and (K, n): each pair of columns is a sum of K products.

    ``signs`` is ``either``; ``one``; or ``cancel``, where all products of a sum add up to nothing.
    """
    draw = np.random.default_rng(seed)
    # Each column of another scale, so that every mantissa is as likely.
    left, right = (
        draw.standard_normal((length, count)) * 2.0 ** draw.uniform(0, 1, count)
        for count in columns
    )
    if signs == "one":
        left, right = np.abs(left), np.abs(right)
    right = right.astype(np.float32).astype(np.float64)
    if signs == "cancel":
        basis, _ = np.linalg.qr(right)
        left -= basis @ (basis.T @ left)
    return left.astype(np.float32), right.astype(np.float32)


def stored(values: NDArray[Any], mode: str) -> Float32:
    """Values as a mode's memory holds them: float32, float16 or bfloat16."""
    if mode == "float16":
        return values.astype(np.float16).astype(np.float32)
    single = np.ascontiguousarray(values, np.float32)
    if mode != "bfloat16":
        return single
    bits = single.view(np.uint32)
    # To the nearest of 8 bits, ties to even.
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def operands(values: Float32, mode: str) -> Float32:
    """Values as a mode's multiplier reads them: TF32 truncated or to the nearest, or unchanged."""
    if mode == TRUNCATED:
        return tf32.truncated(values)
    return tf32.nearest(values) if mode == NEAREST else values


def _running(terms: Float32) -> Float32:
    return np.cumsum(terms, axis=-1, dtype=np.float32)[..., -1]


def _in_pairs(terms: Float32) -> Float32:
    while terms.shape[-1] > 1:
        if terms.shape[-1] % 2:
            terms = np.concatenate([terms, np.zeros_like(terms[..., :1])], axis=-1)
        terms = terms[..., ::2] + terms[..., 1::2]
    return terms[..., 0]


def softmax(logits: Float32) -> Float32:
    """Softmax as a quotient, its sum term by term."""
    powers = _rounded(np.exp, logits - logits.max(axis=1, keepdims=True))
    quotient: Float32 = powers / np.cumsum(powers, axis=1, dtype=np.float32)[:, -1:]
    return quotient


def log_softmax(logits: Float32) -> Float32:
    """Softmax from its logarithm, the sum in pairs."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = sums("pairwise", np.ones((1, 1), np.float32), _rounded(np.exp, shifted))
    return _rounded(np.exp, shifted - _rounded(np.log, total)[:, np.newaxis])


def layer(
    of: WeightedLayer, weight: Float32, bias: Float32, values: Float32, mode: str, order: str
) -> Float32:
    """A layer of weights with its ReLU: (N, in, H, W) or (N, in) -> (N, out, H, W) or (N, out)."""
    read, held = (operands(stored(each, mode), mode) for each in (values, weight))
    if isinstance(of, Convolution):
        margin, size = of.padding, of.kernel_size
        padded = np.pad(read, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
        views = sliding_window_view(padded, (size, size), axis=(2, 3))
        # (N, in, H, W, kH, kW) -> (N, 1, H, W, in * kH * kW)
        read = views.transpose(0, 2, 3, 1, 4, 5).reshape(len(read), 1, *read.shape[2:], -1)
        held = held.reshape(1, len(held), 1, 1, -1)
    else:
        read = read.reshape(len(read), 1, -1)
    read, held = np.broadcast_arrays(read, held)
    own = np.broadcast_to(
        stored(bias, mode).reshape(-1, *[1] * (read.ndim - 3)), read.shape[:-1]
    ).astype(np.float32)
    if mode in HALVES:
        sums = stored(ORDERS[order](held, read, np.zeros_like(own)), mode)
        outputs = stored(sums + own, mode)
    else:
        outputs = ORDERS[order](held, read, own)
    return np.maximum(outputs, 0) if of.relu else outputs


def network(
    checkpoint: Checkpoint,
    images: Float32,
    mode: str,
    given: Mapping[str, Float32] | None = None,
    *,
    order: str = "sequential",
) -> dict[str, Float32]:
    """Every tap in a mode; ``given`` is what the layer after each tap reads, to run each alone."""

    def computed(each: Layer, values: Float32) -> Float32:
        if isinstance(each, MaxPooling):
            largest: Float32 = reference.windows(stored(values, mode)).max(axis=-1)
            return largest
        weight, bias = (checkpoint[f"{each.name}.{kind}"] for kind in ("weight", "bias"))
        return layer(each, weight, bias, values, mode, order)

    return run_layers(checkpoint.configuration, images, computed, given)


def ratio(tap: Prediction, observed: NDArray[Any], deviation: NDArray[Any]) -> float:
    """rms(error) over rms(predicted), of what a ReLU lets show; ``observed`` may be many runs."""
    shown = np.where((tap.preactivation > 0) | (not tap.relu), deviation.astype(np.float64), 0)
    return float(np.sqrt(np.square(observed - tap.values).mean() / np.square(shown).mean()))


def _rounded(function: Callable[[Float64], Float64], values: Float32) -> Float32:
    """A function's values to the nearest, whatever the library's own in float32 are."""
    return function(values.astype(np.float64)).astype(np.float32)
