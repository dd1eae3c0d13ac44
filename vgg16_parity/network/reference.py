"""The arbiter's forward pass: VGG16 in float64 with NumPy, and the errors that go through it.

It walks ``vgg16_spec/architecture.py`` and shares no code with ``keras_impl`` or ``torch_impl``, so
it can judge either framework without the other. A convolution is a matrix product with its windows,
in blocks of rows; a dense layer is computed in blocks of rows of its weights, because fc1's take
822 MB in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.error_model import ErrorVariance, Float64, activate, squares_of
from onnx_arbiter.expectations import Prediction
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_spec.architecture import (
    POOLING_SIZE,
    Convolution,
    Dense,
    Flatten,
    MaxPooling,
    Shape,
    WeightedLayer,
)
from vgg16_spec.checkpoint import Checkpoint

_Scalar = TypeVar("_Scalar", bound=np.generic)
_Real = TypeVar("_Real", np.float32, np.float64)

_ROWS: Final = 256
# Values of a convolution's windows that are laid out at a time.
_WINDOWS: Final = 1 << 22


def walk(
    checkpoint: Checkpoint,
    images: NDArray[np.floating[Any]],
    modes: Sequence[Mode] = (),
    *,
    arithmetic: Arithmetic = PLAIN,
    precision: type[np.floating[Any]] = np.float64,
    dense: bool = False,
) -> Iterator[Prediction]:
    """Evaluate the network on preprocessed images, (N, 3, H, W), tap by tap, and predict errors.

    Pooling and flattening are applied to pre-activations, so that every tap has them: a maximum and
    a ReLU commute. In float32 there is no error to predict, and the values take less than half the
    time. ``arithmetic`` says where errors arise otherwise than the modes say.

    Applied ``dense``-ly (section 3.2 of the paper), the classifier reads each window on the last
    maps that is as large as they are at the network's own size, and the taps from fc1 on are maps,
    (N, units, H', W'): the scores of the last are yet to be averaged.

    Raises:
        ValueError: the network does not take images of this size.
    """
    configuration = checkpoint.configuration
    configuration.check_input(images.shape[1:], dense=dense)
    errors = [ErrorVariance(mode, images, arithmetic.input_deviation) for mode in modes]
    named = dict(zip((mode.name for mode in modes), errors, strict=True))
    values: NDArray[Any] = images.astype(precision)
    relu = False
    # The move of the flattening layer, and how what follows it is shown.
    flat: Callable[[NDArray[Any]], NDArray[Any]] = flatten
    shown: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray
    for layer in configuration.layers:
        if layer.name in arithmetic.modes:
            for error in errors:
                error.switch(arithmetic.modes[layer.name], values)
        match layer:
            case Convolution() | Dense():
                if relu:
                    for error in errors:
                        error.rectify(values)
                algorithm = arithmetic.algorithms.get(layer.name)
                values = _weighted(checkpoint, layer, activate(values, relu), errors, algorithm)
                relu = layer.relu
            case MaxPooling():
                candidates = windows(values)
                values = candidates.max(axis=-1)
                for error in errors:
                    error.move(windows)
                    error.maximum(candidates, values)
            case Flatten():
                if dense:
                    _, height, width = configuration.feature_shape
                    shown = partial(maps_of, values.shape, height, width)
                    flat = partial(flatten_windows, height=height, width=width)
                values = flat(values)
                for error in errors:
                    error.move(flat)
                continue  # no tap
        yield Prediction(
            layer.name,
            shown(values),
            relu,
            {name: shown(error.accumulated_deviation()) for name, error in named.items()},
            {name: shown(error.local_deviation()) for name, error in named.items()},
        )


def layer_alone(
    checkpoint: Checkpoint,
    layer: WeightedLayer | MaxPooling,
    inputs: NDArray[np.float32],
    modes: Sequence[Mode] = (),
    algorithm: Algorithm | None = None,
) -> Prediction:
    """A layer's values, and the errors to expect, for inputs that are exact in float32.

    Args:
        checkpoint: has the layer's weights.
        layer: what to evaluate.
        inputs: (N, in, H, W) of any size, or (N, in); maps for a dense layer are flattened first.
        modes: the numeric modes to predict errors for.
        algorithm: of a convolution; None for a direct sum.

    Returns:
        The prediction, whose accumulated errors are the local ones.
    """
    values: Float64 = inputs.astype(np.float64)
    if isinstance(layer, MaxPooling):
        errors = [ErrorVariance(mode, inputs) for mode in modes]
        candidates, values = windows(values), windows(values).max(axis=-1)
        for error in errors:
            error.move(windows)
            error.maximum(candidates, values)
    else:
        if isinstance(layer, Dense):
            inputs, values = flatten(inputs), flatten(values)
        errors = [ErrorVariance(mode, inputs) for mode in modes]
        values = _weighted(checkpoint, layer, values, errors, algorithm)
    relu = not isinstance(layer, MaxPooling) and layer.relu
    local = {error.mode.name: error.local_deviation() for error in errors}
    return Prediction(layer.name, values, relu, local, local)


def run_with_taps(checkpoint: Checkpoint, images: NDArray[np.floating[Any]]) -> dict[str, Float64]:
    """Every tap by name, in order; the last tap, ``predictions``, holds the logits.

    Maps are (N, C, H, W), fc1 and fc2 (N, units), predictions (N, classes), all float64. The rest
    is as in `walk`.
    """
    return {tap.tap: tap.values for tap in walk(checkpoint, images)}


def _weighted(
    checkpoint: Checkpoint,
    layer: WeightedLayer,
    inputs: Float64,
    errors: Sequence[ErrorVariance],
    algorithm: Algorithm | None,
) -> Float64:
    """A layer's pre-activation; passes the errors of all modes through the layer."""
    weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
    preactivation = multiply(layer, weight, inputs)
    preactivation += for_channels(bias, preactivation)
    if not errors:
        return preactivation
    # One product for all modes, so that the weights are squared once.
    variances = [squares_of(inputs), *(error.accumulated for error in errors)]
    products = multiply(layer, weight, np.concatenate(variances), squared=True)
    squares, *carried = np.split(products, len(variances))
    for error, variance in zip(errors, carried, strict=True):
        rounding = None
        if algorithm is not None:
            rounding = algorithm.rounding(inputs, weight, error.mode)
        error.multiply(preactivation, squares, variance, weight[0].size, rounding)
        if error.bias is not None:
            mean = multiply(layer, weight, error.bias)
            error.truncate(preactivation - for_channels(bias, preactivation), mean)
    return preactivation


def multiply(
    layer: WeightedLayer,
    weight: NDArray[np.float32],
    inputs: NDArray[_Real],
    *,
    squared: bool = False,
    rows: int = _ROWS,
    windows: int = _WINDOWS,
) -> NDArray[_Real]:
    """Apply a layer's weights without the bias, in the type of the inputs.

    So many ``rows`` of a dense layer's weight, or so many values of a convolution's windows, are
    in memory at a time.

    (N, in, H, W) or (N, in) -> (N, out, H, W) or (N, out); the weight is in canonical layout.
    Squaring it first propagates variances.
    """
    kind = inputs.dtype.type

    def prepared(part: NDArray[np.float32]) -> NDArray[_Real]:
        values: NDArray[_Real] = part.astype(kind, copy=False)
        return values * values if squared else values

    if isinstance(layer, Convolution):
        kernels = prepared(weight)
        return np.stack([_convolve(image, kernels, windows) for image in inputs])
    blocks = [
        inputs @ prepared(weight[start : start + rows]).T for start in range(0, len(weight), rows)
    ]
    return np.concatenate(blocks, axis=1)


def for_channels(bias: NDArray[_Real], outputs: NDArray[Any]) -> NDArray[_Real]:
    """Reshape a bias (out,) to broadcast over outputs, (N, out) or (N, out, H, W)."""
    return bias.reshape(1, -1, *[1] * (outputs.ndim - 2))


def flatten(maps: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """(N, C, H, W) -> (N, C * H * W)"""
    return maps.reshape(len(maps), -1)


def flatten_windows(maps: NDArray[_Scalar], height: int, width: int) -> NDArray[_Scalar]:
    """Every window of a size: (N, C, H, W) -> (N * H' * W', C * height * width)."""
    views = sliding_window_view(maps, (height, width), axis=(2, 3))
    rows = views.transpose(0, 2, 3, 1, 4, 5)  # (N, C, H', W', h, w) -> (N, H', W', C, h, w)
    return rows.reshape(-1, maps.shape[1] * height * width)


def maps_of(last: Shape, height: int, width: int, rows: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The results of each window of maps (N, C, H, W): (N * H' * W', K) -> (N, K, H', W')"""
    images, _, *sizes = last
    positions = [size - side + 1 for size, side in zip(sizes, (height, width), strict=True)]
    return rows.reshape(images, *positions, -1).transpose(0, 3, 1, 2)


def windows(maps: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The four values of every pooling window: (N, C, H, W) -> (N, C, H // 2, W // 2, 4).

    Values are in row-major order; an odd last row or column is dropped.
    """
    views = window_views(maps)
    return views.reshape(*views.shape[:4], -1)


def window_views(maps: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Writable views of the pooling windows: (N, C, H, W) -> (N, C, H // 2, W // 2, 2, 2)"""
    size = (POOLING_SIZE, POOLING_SIZE)
    views = sliding_window_view(maps, size, axis=(2, 3), writeable=True)
    return views[:, :, ::POOLING_SIZE, ::POOLING_SIZE]


def _convolve(
    image: NDArray[_Real], kernels: NDArray[_Real], most: int = _WINDOWS
) -> NDArray[_Real]:
    """(in, H, W) -> (out, H, W), stride 1, zero padding that keeps the size"""
    _, height, width = image.shape
    outputs, _, kernel_size, _ = kernels.shape
    margin = kernel_size // 2
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)))
    # (in, H, W, kH, kW) -> (in, kH, kW, H, W)
    views = sliding_window_view(padded, (kernel_size, kernel_size), axis=(1, 2))
    views = views.transpose(0, 3, 4, 1, 2)
    matrix = kernels.reshape(outputs, -1)
    total = np.empty((outputs, height, width), image.dtype)
    rows = max(1, most // (matrix.shape[1] * width))
    for start in range(0, height, rows):
        columns = views[:, :, :, start : start + rows].reshape(matrix.shape[1], -1)
        total[:, start : start + rows] = (matrix @ columns).reshape(outputs, -1, width)
    return total
