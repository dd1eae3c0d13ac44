"""A layer shows an FFT by its own errors, in maps of any size; a mistake shows none that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pytest

from onnx_arbiter.algorithms.fft import FFTS, Fft
from onnx_arbiter.algorithms.recognition import OwnErrors, suggested
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.convolutions import Float32, by_fft
from vgg16_parity.judge.own_errors import errors_of
from vgg16_parity.network import reference
from vgg16_parity.own_port import Arbiter
from vgg16_spec.architecture import Convolution, configuration
from vgg16_spec.checkpoint.seeded import generate

# Of the size of rounding errors, which a mistake must have to be taken for an algorithm.
SMALL: Final = (3e-7, 1e-6)
# Changes the weight and the bias, which are copies, by so much.
Plant = Callable[[Float32, Float32, np.float32], None]


@pytest.fixture(scope="module", params=[0, 1], ids="seed {}".format)
def seeded(request: pytest.FixtureRequest) -> Iterator[Arbiter]:
    with Arbiter(generate(configuration("tiny"), request.param)) as opened:
        yield opened


def layers(arbiter: Arbiter) -> Iterator[tuple[Convolution, Float32, Float32, Float32]]:
    """Each convolution, what it reads, its weight and its bias."""
    network = arbiter.checkpoint.configuration
    read = dict(zip(network.taps[1:], arbiter.given.values(), strict=True))
    for layer in network.convolutions:
        weight, bias = (arbiter.checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
        yield layer, read.get(layer.name, arbiter.images), weight, bias


def errors(arbiter: Arbiter, layer: Convolution, read: Float32, sums: Float32) -> OwnErrors:
    found = errors_of(
        arbiter.checkpoint, MODES["float32"], layer, read, np.maximum(sums, np.float32(0))
    )
    assert found is not None
    return found


def passes(found: OwnErrors) -> bool:
    """Whether they show an FFT within whose limits they are."""
    fits = [found.by(each) for each in suggested(found) if isinstance(each, Fft)]
    return any(
        each.ratio <= LIMITS.ratio.limit and each.largest <= LIMITS.deviations.limit
        for each in fits
    )


@pytest.mark.parametrize("algorithm", FFTS[:4], ids=lambda each: each.name)
def test_every_layer_that_fails_as_a_direct_sum_shows_its_fft(
    seeded: Arbiter, algorithm: Fft
) -> None:
    failing, hidden = 0, []
    for layer, read, weight, bias in layers(seeded):
        if algorithm.is_for(*read.shape[2:]):
            sums = by_fft(read, weight, algorithm) + reference.for_channels(bias, read)
            shown = errors(seeded, layer, read, sums)
            failing += shown.fail
            if shown.fail and not passes(shown):
                hidden.append(layer.name)
    assert failing > 1
    assert hidden == []


def _one_bias(_: Float32, bias: Float32, by: np.float32) -> None:
    bias[0] += by


def _half_the_biases(_: Float32, bias: Float32, by: np.float32) -> None:
    bias[::2] += by


def _every_bias(_: Float32, bias: Float32, by: np.float32) -> None:
    bias += by


def _each_bias_by_another_size(_: Float32, bias: Float32, by: np.float32) -> None:
    bias += by * np.random.default_rng(1).standard_normal(bias.shape).astype(np.float32)


def _one_weight(weight: Float32, _: Float32, by: np.float32) -> None:
    weight[(1,) * weight.ndim] += by


def _every_weight(weight: Float32, _: Float32, by: np.float32) -> None:
    weight += by * np.random.default_rng(1).standard_normal(weight.shape).astype(np.float32)


def _scale(weight: Float32, _: Float32, by: np.float32) -> None:
    weight *= 1 + by


PLANTS: Final[tuple[Plant, ...]] = (
    _one_bias,
    _half_the_biases,
    _every_bias,
    _each_bias_by_another_size,
    _one_weight,
    _every_weight,
    _scale,
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda each: each.__name__.strip("_"))
def test_no_small_mistake_in_a_direct_sum_passes_for_an_fft(seeded: Arbiter, plant: Plant) -> None:
    failing, passed = 0, []
    for layer, read, weight, bias in layers(seeded):
        for by in SMALL:
            wrong = np.array(weight), np.array(bias)
            plant(*wrong, np.float32(by))
            sums = reference.multiply(layer, wrong[0], read)
            found = errors(seeded, layer, read, sums + reference.for_channels(wrong[1], sums))
            failing += found.fail
            if found.fail and passes(found):
                passed.append((layer.name, by))
    assert failing
    assert passed == []
