"""The arbiter's backward pass in float64, and the variance of rounding of every gradient.

It walks ``vgg16_spec/architecture.py`` from the logits down and shares no code with a framework. With x
what a layer read, δ the gradient of its output before the ReLU, and K the length of a sum, S the
sum of the squares of its products, y the sum:

    what                                 carried over             its own
    dW = Σ δ·x  (positions and images)   Σ (v_δ·x² + δ²·v_x)      (u²/3)·(S·(1+K/6) + y²·K/3)
    db = Σ δ                             Σ v_δ                    the same
    δ of the layer below = Wᵀ δ          (W∘W)ᵀ v_δ               the same

v_x is what ``vgg16_parity.network.prediction`` predicts of the forward pass, and its sums are those of its
docstring. ReLU lets δ through, and pooling gives it to one of four, along the branch that is asked
for; neither rounds.

At the logits z, of N images, δ = (p - 1[label]) / N with p = softmax(z). An error e of the logits
moves p_j by p_j (e_j - Σ p_k e_k). Its own: a rounding of z_j less the largest and of the logarithm
of the sum are relative errors of p_j as large as those numbers; a few more are those of exp, of the
sum of positive terms and of the last operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.error_model import ValueWithVariance
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.judge.gradients.activation_pattern import ActivationPattern
from vgg16_parity.network import reference
from vgg16_parity.network.expectations import ArbiterCase
from vgg16_parity.network.reference import Float64
from vgg16_parity.network.sgd_step import Labels
from vgg16_spec.architecture import (
    POOLING_SIZE,
    Configuration,
    Convolution,
    Dense,
    Flatten,
    MaxPooling,
    WeightedLayer,
)
from vgg16_spec.checkpoint import Checkpoint

# What the gradient of the images is called, beside the parameters' canonical names.
IMAGES: Final = "images"
# Of a dense layer at once: rows of fc1 are 25088 wide, and a dozen arrays of such a block stand.
_ROWS: Final = 64
# Roundings of a probability besides those that grow with the logits: exp is right to about one unit
# in the last place, and there are a division, a difference and a mean.
_SOFTMAX_ROUNDINGS: Final = 6


@dataclass(frozen=True)
class Block:
    """Rows of one gradient, counted along its first axis.

    Attributes:
        tensor: a parameter's canonical name, or ``IMAGES``.
        start: the first of the rows.
        gradient: in canonical layout; (N, 3, H, W) for the images.
    """

    tensor: str
    start: int
    gradient: ValueWithVariance

    @property
    def rows(self) -> slice:
        """Where the rows are in the whole tensor."""
        return slice(self.start, self.start + len(self.gradient.values))


def backward(
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    mode: Mode,
    branch: ActivationPattern,
    labels: Labels,
) -> Iterator[Block]:
    """Gradients of the mean cross-entropy, from the logits down; of each layer bias, then weight.

    Args:
        checkpoint: with its classifier.
        expectation: the arbiter's forward pass on the images, with every tap.
        mode: the numeric mode to predict errors for; one that computes in float32.
        branch: which way to go at every kink.
        labels: the class of each image, (N,).

    A dense layer's weight comes in blocks of rows. The images' gradient is last.
    """
    forward = _Forward(checkpoint.configuration, expectation, mode, branch)
    delta = loss_gradient(forward.logits(), labels, mode)
    for index, layer in reversed(list(enumerate(checkpoint.configuration.layers))):
        match layer:
            case Convolution() | Dense():
                if isinstance(layer, Convolution) or layer.relu:
                    passed = branch.passed(layer.name)
                    delta = delta.moved(lambda part, passed=passed: np.where(passed, part, 0))  # type: ignore[misc]
                yield Block(f"{layer.name}.bias", 0, _bias(delta, mode))
                yield from _weight(layer, delta, forward.outputs(index - 1), mode)
                delta = _below(layer, checkpoint[f"{layer.name}.weight"], delta, mode)
            case MaxPooling():
                read = forward.outputs(index - 1).values.shape
                winners = branch.winners(checkpoint.configuration.layers[index - 1].name)
                delta = delta.moved(
                    lambda part, winners=winners, read=read: _unpooled(part, winners, read)  # type: ignore[misc]
                )
            case Flatten():
                shape = forward.outputs(index - 1).values.shape
                delta = delta.moved(lambda part, shape=shape: part.reshape(shape))  # type: ignore[misc]
    yield Block(IMAGES, 0, delta)


def loss_gradient(logits: ValueWithVariance, labels: Labels, mode: Mode) -> ValueWithVariance:
    """The mean cross-entropy's gradient at the logits, (N, classes)."""
    images, classes = logits.values.shape
    shifted = logits.values - logits.values.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    p = powers / total
    delta = p - (np.arange(classes) == labels[:, np.newaxis])
    everyone = (p * p * logits.variance).sum(axis=1, keepdims=True)
    carried = p * p * (logits.variance * (1 - 2 * p) + everyone)
    relative = shifted**2 + np.log(total) ** 2 + _SOFTMAX_ROUNDINGS + classes / 3
    own = _unit(mode) * (p * p * relative + 2 * delta * delta)
    return ValueWithVariance(delta / images, (carried + own) / images**2)


class _Forward:
    """What the layers put out on a branch, read from the arbiter's files when asked for."""

    def __init__(
        self,
        configuration: Configuration,
        expectation: ArbiterCase,
        mode: Mode,
        branch: ActivationPattern,
    ) -> None:
        self._layers = configuration.layers
        self._expectation = expectation
        self._mode = mode
        self._branch = branch

    def logits(self) -> ValueWithVariance:
        return self._before(self._layers[-1].name)

    def outputs(self, index: int) -> ValueWithVariance:
        """The output of the layer of that index; the images before the first."""
        if index < 0:
            images = self._expectation.case.images.astype(np.float64)
            return ValueWithVariance(images, np.zeros_like(images))
        layer = self._layers[index]
        match layer:
            case MaxPooling():
                winners = self._branch.winners(self._layers[index - 1].name)
                return self.outputs(index - 1).moved(lambda part: _pooled(part, winners))
            case Flatten():
                return self.outputs(index - 1).moved(reference.flatten)
            case _:
                passed = self._branch.passed(layer.name)
                return self._before(layer.name).moved(lambda part: np.where(passed, part, 0))

    def _before(self, tap: str) -> ValueWithVariance:
        expected = self._expectation.tap(tap, self._mode)
        return ValueWithVariance(
            np.array(expected.before), expected.accumulated.astype(np.float64) ** 2
        )


def _unit(mode: Mode) -> float:
    """The variance of one rounding of 1."""
    return mode.sums**2 / 3


def _sum(mode: Mode, values: Float64, length: int, carried_and_own: Float64) -> ValueWithVariance:
    """A sum of products: what the terms carry and round is given, and this adds its own path."""
    return ValueWithVariance(values, carried_and_own + _unit(mode) * (length / 3) * values * values)


def _own(mode: Mode, length: int) -> float:
    """What each product counts for in a sum of so many, as a share of its square."""
    return _unit(mode) * (1 + length / 6)


def _bias(delta: ValueWithVariance, mode: Mode) -> ValueWithVariance:
    axes = (0, *range(2, delta.values.ndim))
    squares = np.square(delta.values)
    length = delta.values.size // delta.values.shape[1]
    # There is no product to round, and so no operand.
    spread = delta.variance + _unit(mode) * (length / 6) * squares
    return _sum(mode, delta.values.sum(axis=axes), length, spread.sum(axis=axes))


def _weight(
    layer: WeightedLayer, delta: ValueWithVariance, inputs: ValueWithVariance, mode: Mode
) -> Iterator[Block]:
    """The weight's gradient; a dense layer's in blocks of rows, since fc1's takes 822 MB."""
    name = f"{layer.name}.weight"
    length = delta.values.size // delta.values.shape[1]
    squares, read = np.square(delta.values), np.square(inputs.values)
    spread = delta.variance + _own(mode, length) * squares
    if isinstance(layer, Convolution):
        variance = _correlate(layer, spread, read)
        variance += _correlate(layer, squares, inputs.variance)
        values = _correlate(layer, delta.values, inputs.values)
        yield Block(name, 0, _sum(mode, values, length, variance))
        return
    for start in range(0, layer.out_features, _ROWS):
        rows = slice(start, start + _ROWS)
        variance = spread[:, rows].T @ read + squares[:, rows].T @ inputs.variance
        values = delta.values[:, rows].T @ inputs.values
        yield Block(name, start, _sum(mode, values, length, variance))


def _correlate(layer: Convolution, delta: Float64, inputs: Float64) -> Float64:
    """Σ over images and positions of delta times what each weight was multiplied with.

    (N, out, H, W) and (N, in, H, W) -> (out, in, kH, kW)
    """
    images, channels, _, width = inputs.shape
    size, margin = layer.kernel_size, layer.padding
    # Maps as wide as the padded input: every shift of the input is then a run of one flat array.
    wide = ((0, 0), (0, 0), (0, 0), (0, 2 * margin))
    errors = np.pad(delta, wide).reshape(images, len(delta[0]), -1)
    # A row more below, for the last of those runs.
    around = ((0, 0), (0, 0), (margin, 2 * margin), (margin, margin))
    padded = np.pad(inputs, around).reshape(images, channels, -1)
    starts = [r * (width + 2 * margin) + c for r, c in np.ndindex(size, size)]
    total = np.zeros((delta.shape[1], size * size * channels))
    for image in range(images):
        # One long product: BLAS is slow at many with few rows and columns.
        runs = [padded[image, :, start : start + errors.shape[-1]] for start in starts]
        total += errors[image] @ np.concatenate(runs).T
    return total.reshape(-1, size, size, channels).transpose(0, 3, 1, 2)


def _below(
    layer: WeightedLayer, weight: NDArray[np.float32], delta: ValueWithVariance, mode: Mode
) -> ValueWithVariance:
    """The gradient of what the layer read."""
    length = weight[:, 0].size
    spread = delta.variance + _own(mode, length) * np.square(delta.values)
    if isinstance(layer, Convolution):
        # (out, in, kH, kW) -> (in, out, kH, kW), the kernel turned by half a circle
        turned = np.flip(weight.swapaxes(0, 1), axis=(2, 3))
        values = reference.multiply(layer, turned, delta.values)
        return _sum(mode, values, length, reference.multiply(layer, turned, spread, squared=True))
    values, variance = np.zeros((2, len(delta.values), layer.in_features))
    for start in range(0, layer.out_features, _ROWS):
        rows = slice(start, start + _ROWS)
        block = weight[rows].astype(np.float64)
        values += delta.values[:, rows] @ block
        variance += spread[:, rows] @ np.square(block, out=block)
    return _sum(mode, values, length, variance)


def _pooled(maps: Float64, winners: NDArray[np.intp]) -> Float64:
    """(N, C, H, W) -> (N, C, H // 2, W // 2)"""
    taken: Float64 = np.take_along_axis(reference.windows(maps), winners, axis=-1)[..., 0]
    return taken


def _unpooled(maps: Float64, winners: NDArray[np.intp], shape: tuple[int, ...]) -> Float64:
    """(N, C, H // 2, W // 2) -> (N, C, H, W): each value to its window's winner."""
    images, channels, rows, columns = maps.shape
    split = np.zeros((images, channels, rows, columns, POOLING_SIZE**2))
    np.put_along_axis(split, winners, maps[..., np.newaxis], axis=-1)
    whole = split.reshape(images, channels, rows, columns, POOLING_SIZE, POOLING_SIZE)
    given: NDArray[Any] = np.zeros(shape)
    given[:, :, : rows * POOLING_SIZE, : columns * POOLING_SIZE] = whole.transpose(
        0, 1, 2, 4, 3, 5
    ).reshape(images, channels, rows * POOLING_SIZE, columns * POOLING_SIZE)
    return given
