"""The arbiter's backward pass in float64, with the variance of rounding of every gradient.

It walks ``vgg16_spec/architecture.py`` from the logits down and shares no code with a framework.
Let x be the input of a layer, δ the gradient of its pre-activation, K the length of a sum, S the
sum of its squared products, and y the sum:

    gradient                             carried over             own rounding
    dW = Σ δ·x  (positions and images)   Σ (v_δ·x² + δ²·v_x)      (u²/3)·(S·(1+K/6) + y²·K/3)
    db = Σ δ                             Σ v_δ                    the same without products
    δ of the layer below = Wᵀ δ          (W∘W)ᵀ v_δ               the same

v_x is the variance that ``vgg16_parity.network.prediction`` predicts for the forward pass, and
``onnx_arbiter.error_model`` derives the rounding of a sum. A ReLU passes δ on or stops it, and
pooling passes it to one value of four, along a given activation pattern; neither rounds.

At the logits z of N images, δ = (p - 1[label]) / N with p = softmax(z). An error e of the logits
changes p_j by p_j (e_j - Σ p_k e_k). Rounding z_j minus the largest logit, and rounding the
logarithm of the sum, are relative errors of p_j in proportion to those numbers. A few more are
those of exp, of the sum of positive terms, and of the last operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float64, ValueWithVariance, path_rounding
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.gradients.activation_pattern import ActivationPattern
from vgg16_parity.network import reference
from vgg16_parity.network.sgd_step import Labels
from vgg16_spec.architecture import Convolution, Dense, Flatten, Layer, MaxPooling, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint

# The name of the images' gradient, among the parameters' canonical names.
IMAGES: Final = "images"
# Rows of a dense layer in one block: rows of fc1 have 25088 values, and a dozen such arrays exist.
_ROWS: Final = 64
# Roundings of a probability that do not grow with the logits: exp is accurate to about one unit in
# the last place, and there are a division, a difference and a mean.
_SOFTMAX_ROUNDINGS: Final = 6


class Block(NamedTuple):
    """Rows of one gradient, along its first axis, in canonical layout; or all of it.

    ``tensor`` is a parameter's canonical name, or ``IMAGES``.
    """

    tensor: str
    gradient: ValueWithVariance
    rows: slice = slice(0, None)


def backward(
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    mode: Mode,
    pattern: ActivationPattern,
    labels: Labels,
    rows: int = _ROWS,
) -> Iterator[Block]:
    """Gradients of the mean cross-entropy, from the logits down; bias before weight.

    ``expectation`` has every tap of the arbiter's forward pass, ``pattern`` the side to take at
    every kink; the mode computes in float32. A dense layer's weight comes in blocks of ``rows``,
    every other tensor whole, and the images last.
    """
    layers = checkpoint.configuration.layers
    forward = _Forward(layers, expectation, mode, pattern)
    delta = loss_gradient(forward.preactivation(layers[-1].name), labels, mode)
    for index, layer in reversed(list(enumerate(layers))):
        match layer:
            case Convolution() | Dense():
                if layer.relu:
                    delta = delta.moved(pattern.rectifier(layer.name))
                yield Block(f"{layer.name}.bias", bias_gradient(delta, mode))
                yield from weight_gradient(layer, delta, forward.outputs(index - 1), mode, rows)
                delta = input_gradient(layer, checkpoint[f"{layer.name}.weight"], delta, mode)
            case MaxPooling():
                delta = delta.moved(pattern.unpooling(layers[index - 1].name))
            case Flatten():
                shape = expectation.preactivation(layers[index - 1].name).shape
                delta = delta.moved(methodcaller("reshape", shape))
    yield Block(IMAGES, delta)


def loss_gradient(logits: ValueWithVariance, labels: Labels, mode: Mode) -> ValueWithVariance:
    """The gradient of the mean cross-entropy at the logits, (N, classes)."""
    images, classes = logits.values.shape
    shifted = logits.values - logits.values.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    p = powers / total
    delta = p - (np.arange(classes) == labels[:, np.newaxis])
    everyone = (p * p * logits.variance).sum(axis=1, keepdims=True)
    carried = p * p * (logits.variance * (1 - 2 * p) + everyone)
    relative = shifted**2 + np.log(total) ** 2 + _SOFTMAX_ROUNDINGS + classes / 3
    own = mode.unit_variance * (p * p * relative + 2 * delta * delta)
    return ValueWithVariance(delta / images, (carried + own) / images**2)


@dataclass(frozen=True)
class _Forward:
    """Layers' outputs along an activation pattern, read from the arbiter's files on demand."""

    layers: Sequence[Layer]
    expectation: ArbiterCase
    mode: Mode
    pattern: ActivationPattern

    def preactivation(self, tap: str) -> ValueWithVariance:
        expected = self.expectation.tap(tap, self.mode)
        variance = expected.accumulated.astype(np.float64) ** 2
        return ValueWithVariance(np.array(expected.preactivation), variance)

    def outputs(self, index: int) -> ValueWithVariance:
        """The output of the layer at an index; the images at -1."""
        if index < 0:
            images = self.expectation.case.images.astype(np.float64)
            return ValueWithVariance(images, np.zeros_like(images))
        match self.layers[index]:
            case MaxPooling():
                read = self.layers[index - 1].name
                return self.outputs(index - 1).moved(self.pattern.pooling(read))
            case Flatten():
                return self.outputs(index - 1).moved(reference.flatten)
            case layer:
                return self.preactivation(layer.name).moved(self.pattern.rectifier(layer.name))


def _sum(mode: Mode, values: Float64, length: int, of_terms: Float64) -> ValueWithVariance:
    """A sum, from the variance of all its terms; adds the rounding that depends on its value."""
    _, of_sum = path_rounding(length)
    return ValueWithVariance(values, of_terms + mode.unit_variance * of_sum * values * values)


def _terms(
    mode: Mode, delta: ValueWithVariance, squares: Float64, length: int, *, products: int = 1
) -> Float64:
    """The variance of each term of a sum: that of its factors, and the rounding it causes."""
    of_terms, _ = path_rounding(length)
    return delta.variance + mode.unit_variance * (products + of_terms) * squares


def bias_gradient(delta: ValueWithVariance, mode: Mode) -> ValueWithVariance:
    """The gradient of a bias, (out,), from that of the pre-activation."""
    axes = (0, *range(2, delta.values.ndim))
    squares = np.square(delta.values)
    length = delta.values.size // delta.values.shape[1]
    terms = _terms(mode, delta, squares, length, products=0)
    return _sum(mode, delta.values.sum(axis=axes), length, terms.sum(axis=axes))


def weight_gradient(
    layer: WeightedLayer,
    delta: ValueWithVariance,
    inputs: ValueWithVariance,
    mode: Mode,
    most: int = _ROWS,
) -> Iterator[Block]:
    """The weight's gradient; a dense layer's in blocks of rows, because fc1's takes 822 MB."""
    name = f"{layer.name}.weight"
    length = delta.values.size // delta.values.shape[1]
    squares, read = np.square(delta.values), np.square(inputs.values)
    terms = _terms(mode, delta, squares, length)
    if isinstance(layer, Convolution):
        variance = _correlate(layer, terms, read)
        variance += _correlate(layer, squares, inputs.variance)
        values = _correlate(layer, delta.values, inputs.values)
        yield Block(name, _sum(mode, values, length, variance))
        return
    for start in range(0, layer.out_features, most):
        rows = slice(start, start + most)
        variance = terms[:, rows].T @ read + squares[:, rows].T @ inputs.variance
        values = delta.values[:, rows].T @ inputs.values
        yield Block(name, _sum(mode, values, length, variance), rows)


def _correlate(layer: Convolution, delta: Float64, inputs: Float64) -> Float64:
    """Sum over images and positions of delta times the input of each weight.

    (N, out, H, W) and (N, in, H, W) -> (out, in, kH, kW)
    """
    size, margin = layer.kernel_size, layer.padding
    total = np.zeros((delta.shape[1], inputs.shape[1] * size * size))
    padded = np.pad(inputs, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    for errors, image in zip(delta, padded, strict=True):
        # (in, H, W, kH, kW) -> (in * kH * kW, H * W): one long product, where BLAS is fast
        patches = sliding_window_view(image, (size, size), axis=(1, 2)).transpose(0, 3, 4, 1, 2)
        total += errors.reshape(len(errors), -1) @ patches.reshape(total.shape[1], -1).T
    return total.reshape(delta.shape[1], inputs.shape[1], size, size)


def input_gradient(
    layer: WeightedLayer, weight: NDArray[np.float32], delta: ValueWithVariance, mode: Mode
) -> ValueWithVariance:
    """The gradient of the layer's input."""
    length = weight[:, 0].size
    # (out, in, kH, kW) -> (in, out, kH, kW) with the kernel rotated by 180 degrees; or transposed
    turned = np.flip(weight.swapaxes(0, 1), axis=tuple(range(2, weight.ndim)))
    values = reference.multiply(layer, turned, delta.values)
    terms = _terms(mode, delta, np.square(delta.values), length)
    return _sum(mode, values, length, reference.multiply(layer, turned, terms, squared=True))
