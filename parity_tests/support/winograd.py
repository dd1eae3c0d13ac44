"""Convolutions by Winograd's algorithm and by FFTs in real float32, as an engine computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import join, tiles
from onnx_arbiter.algorithms.fft import Fft
from onnx_arbiter.algorithms.winograd import WINOGRAD, Winograd, transforms
from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.network import reference
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.architecture import Convolution, Dense, Flatten, MaxPooling, WeightedLayer
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.logits import softmax

Float32 = NDArray[np.float32]
Matrices = tuple[Float32, Float32, Float32]
# How 3x3 convolutions are computed: by Winograd's algorithm, by FFTs, or as direct sums.
Engine = Matrices | Fft | None
Operand: TypeAlias = Callable[[Any], Any]
PICTURES: Final = [photograph.path for photograph in PHOTOGRAPHS]
LAVIN: Final = next(
    each for each in WINOGRAD if each.name.endswith("F(6×6, points 0, ±1, ±2, ±1/2)")
)
ROUGH: Final = WINOGRAD[-1]
OF_ROOTS, OF_WHOLES = (each for each in WINOGRAD if each.outputs == 4)
COMPUTED: Final = (
    "no ReLU",
    "average pooling",
    "softmax",
    "padding on one side",
    "dropout left on",
)


def matrices(algorithm: Winograd) -> Matrices:
    """Aᵀ, G and Bᵀ in float32; a copy."""
    output, kernel, inputs = (
        np.array(rows, np.float64).astype(np.float32) for rows in transforms(algorithm.points)
    )
    return output, kernel, inputs


def _unchanged(values: Any) -> Any:
    return values


def by_winograd(
    images: NDArray[Any], weight: Float32, factors: Matrices, operand: Operand = _unchanged
) -> Float32:
    """(N, in, H, W) -> (N, out, H, W), zero padding of one.

    ``operand`` rounds both transformed factors before they are multiplied.
    """
    output, kernel, inputs = factors
    given = operand(_both_sides(inputs, tiles(images, *output.shape)))
    kernels = operand(_both_sides(kernel, weight))
    summed = np.zeros((len(weight), *given.shape[1:]), np.float32)
    for channel, values in enumerate(given):
        summed += kernels[:, channel, None, None, None] * values
    return join(_both_sides(output, summed), *images.shape[2:])


def multiplied(matrix: Float32, values: Float32) -> Float32:
    """(rows, k) @ (…, k, n), one product after the other, without fused multiply-adds."""
    total = np.zeros((*values.shape[:-2], len(matrix), values.shape[-1]), np.float32)
    for column in range(matrix.shape[1]):
        total += matrix[:, column, None] * values[..., column : column + 1, :]
    return total


def _both_sides(matrix: Float32, values: Float32) -> Float32:
    left = multiplied(matrix, values)
    return multiplied(matrix, left.swapaxes(-1, -2)).swapaxes(-1, -2)


def by_fft(
    images: NDArray[Any], weight: Float32, algorithm: Fft, operand: Operand = _unchanged
) -> Float32:
    """The same by FFTs of tiles, in complex64."""
    from scipy import fft

    size = algorithm.size
    given = operand(fft.rfft2(np.ascontiguousarray(tiles(images, algorithm.outputs, size))))
    kernels = operand(fft.rfft2(weight, (size, size)).conj())
    summed = np.zeros((len(weight), *given.shape[1:]), np.complex64)
    for channel, values in enumerate(given):
        summed += kernels[:, channel, None, None, None] * values
    parts = fft.irfft2(summed, (size, size))[..., : algorithm.outputs, : algorithm.outputs]
    assert parts.dtype == np.float32
    return join(parts, *images.shape[2:])


def network(
    checkpoint: Checkpoint,
    images: Float32,
    engine: Engine | Mapping[str, Engine],
    given: Mapping[str, Float32] | None = None,
    mistake: str = "",
) -> dict[str, Float32]:
    """The taps of a port whose 3x3 convolutions are computed so, or its layers for given inputs.

    ``engine`` may be one by layer, where others are direct sums. ``mistake`` is one of the
    computation, by its name in ``mistakes.catalogue``.
    """
    taps: dict[str, Float32] = {}
    values, before = images, ""
    for layer in checkpoint.configuration.layers:
        if isinstance(layer, Flatten):
            continue
        if given is not None and before:
            values = given[before]
        before = layer.name
        if isinstance(layer, MaxPooling):
            candidates = reference.windows(values)
            averages = mistake == "average pooling"
            values = candidates.mean(axis=-1) if averages else candidates.max(axis=-1)
        else:
            own = engine.get(before) if isinstance(engine, Mapping) else engine
            values = _weighted(checkpoint, layer, values, own, mistake)
        taps[before] = values
    return taps


def _weighted(
    checkpoint: Checkpoint, layer: WeightedLayer, values: Float32, engine: Engine, mistake: str
) -> Float32:
    """A layer of weights with its ReLU."""
    weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
    if isinstance(layer, Dense):
        values = reference.multiply(layer, weight, reference.flatten(values))
    elif mistake == "padding on one side" and layer.name == "block2_conv1":
        # Of the enlarged maps, those that are padded on no side at the top and left.
        enlarged = np.pad(values, ((0, 0), (0, 0), (0, 2), (0, 2)))
        values = _convolve(layer, enlarged, weight, engine)[:, :, 1:-1, 1:-1]
    else:
        values = _convolve(layer, values, weight, engine)
    values = values + reference.for_channels(bias, values)
    if layer.relu and not (mistake == "no ReLU" and layer.name == "block3_conv2"):
        values = np.maximum(values, 0)
    if mistake == "dropout left on" and isinstance(layer, Dense) and layer.relu:
        kept = np.random.default_rng(0).random(values.shape) < 0.5
        values = np.where(kept, 2 * values, np.float32(0))
    if mistake == "softmax" and layer.name == checkpoint.configuration.taps[-1]:
        values = softmax(values.astype(np.float64)).astype(np.float32)
    return values


def _convolve(layer: Convolution, values: Float32, weight: Float32, engine: Engine) -> Float32:
    if engine is None or layer.kernel_size != 3:
        return reference.multiply(layer, weight, values)
    if isinstance(engine, Fft):
        return by_fft(values, weight, engine)
    return by_winograd(values, weight, engine)


ENGINES: Final[Mapping[str, Callable[[], Engine]]] = MappingProxyType(
    {
        "direct sums": lambda: None,
        "F(4×4) of whole numbers": lambda: matrices(OF_WHOLES),
        "F(4×4) of roots": lambda: matrices(OF_ROOTS),
        "F(6×6)": lambda: matrices(LAVIN),
    }
)


def evidence(
    checkpoint: Checkpoint,
    expectation: ArbiterCase,
    engine: Engine | Mapping[str, Engine],
    inputs: dict[str, Float32] | None = None,
    computed_with: Checkpoint | None = None,
) -> Evidence:
    """What a port shows that computes by an engine, with layers alone if their inputs are given."""
    used, images, mode = computed_with or checkpoint, expectation.case.images, MODES["float32"]
    taps = network(used, images, engine)
    layers = {} if inputs is None else network(used, images, engine, inputs)
    verdict = judge_case(expectation, mode, taps, layers)
    return Evidence(checkpoint, expectation, mode, taps, layers, verdict)


def failures(verdict: CaseVerdict) -> Iterator[str]:
    """The layers that fail, in the network's order."""
    for layer in verdict.layers:
        if not (layer.local or layer.accumulated).passed:
            yield layer.tap


class Simulated:
    """A port that computes its 3x3 convolutions by an engine, to plant mistakes in."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.mistake = engine, ""

    def load(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.mistake = checkpoint, ""

    def plant(self, name: str) -> None:
        self.mistake = name

    def taps(self, images: Float32) -> dict[str, Float32]:
        return network(self.checkpoint, images, self.engine, mistake=self.mistake)

    def layers(self, images: Float32, given: dict[str, Float32]) -> dict[str, Float32]:
        return network(self.checkpoint, images, self.engine, given, self.mistake)
