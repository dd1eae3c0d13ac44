"""FFTs: what their tiles give, which an engine would choose, and what they round."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.algorithms.algorithm import tiles
from onnx_arbiter.algorithms.fft import FFTS, Fft
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF, MODES
from parity_tests.support.arithmetic.fourier import Transform
from parity_tests.support.tolerances import ACCURATE_FFT, FLOAT64


@pytest.mark.parametrize("algorithm", FFTS, ids=lambda each: each.name)
def test_a_tile_of_an_fft_has_every_output_that_no_other_edge_reaches(algorithm: Fft) -> None:
    generator = np.random.default_rng(0)
    given = generator.standard_normal((algorithm.size, algorithm.size))
    weight = np.zeros_like(given)
    weight[:3, :3] = generator.standard_normal((3, 3))
    product = np.fft.rfft2(given) * np.fft.rfft2(weight).conj()
    round_about = np.fft.irfft2(product, s=given.shape)
    windows = np.lib.stride_tricks.sliding_window_view(given, (3, 3))
    direct = (windows * weight[:3, :3]).sum(axis=(2, 3))
    assert direct.shape == (algorithm.outputs, algorithm.outputs)
    found = round_about[: len(direct), : len(direct)]
    assert np.abs(found - direct).max() < FLOAT64.limit * np.abs(direct).max()


@pytest.mark.parametrize(
    ("side", "sizes"),
    [(4, [16]), (14, [16]), (15, [16, 32]), (28, [16, 32]), (112, [16, 32, 64, 128])],
)
def test_a_tile_is_no_larger_than_the_power_of_two_that_holds_the_padded_map(
    side: int, sizes: list[int]
) -> None:
    assert [fft.size for fft in FFTS if fft.is_for(side, 3)] == sizes
    assert [fft.size for fft in FFTS if fft.is_for(3, side)] == sizes


def errors_of_an_fft(transform: Transform, side: int) -> tuple[float, float]:
    """R and Z of a map of 16 channels that fills a tile, as a layer behind a ReLU reads it."""
    generator = np.random.default_rng(7)
    algorithm, channels = Fft(64), 16
    # Wide patches of light and dark, which are sums of few frequencies, and noise on them.
    patches = np.kron(generator.random((channels, 4, 4)), np.ones((side // 4, side // 4)))
    given = (patches + generator.random((channels, side, side)) / 4)[np.newaxis]
    images = given.astype(np.float32)
    weight = (generator.standard_normal((channels, channels, 3, 3)) / 12).astype(np.float32)
    (cut,) = tiles(images, algorithm.outputs, algorithm.size)[:, :, 0, 0].swapaxes(0, 1)
    padded = np.zeros((channels, channels, *cut.shape[1:]), np.complex64)
    padded[..., :3, :3] = weight
    spectrum = transform.along_both(cut.astype(np.complex64))
    kernels = transform.along_both(padded).conj()
    summed = np.zeros((channels, *cut.shape[1:]), np.complex64)
    for channel, values in enumerate(spectrum):
        summed += kernels[:, channel] * values
    found = transform.along_both(summed.conj()).real / np.float32(algorithm.size**2)
    windows = np.lib.stride_tricks.sliding_window_view(cut.astype(np.float64), (3, 3), axis=(1, 2))
    exact = np.einsum("crsij,ocij->ors", windows, weight.astype(np.float64))
    errors = (found[:, : exact.shape[1], : exact.shape[2]] - exact)[:, :side, :side]
    rounding = algorithm.rounding(images.astype(np.float64), weight, MODES["float32"])[0]
    deviation = FLOAT32_ROUNDOFF * np.sqrt(rounding / 3)
    ratio = np.sqrt(np.square(errors).mean() / np.square(deviation).mean())
    return float(ratio), float(np.abs(errors / deviation).max())


@pytest.mark.parametrize("radix", [2, 4])
def test_an_ffts_rounding_is_predicted_whatever_its_radix(radix: int) -> None:
    ratio, largest = errors_of_an_fft(Transform(radix), side=60)
    assert ACCURATE_FFT.limit / 2 < ratio < ACCURATE_FFT.limit
    assert largest < LIMITS.deviations.limit / 2


@pytest.mark.parametrize("radix", [2, 4])
def test_an_fft_with_rough_twiddles_is_within_the_limits(radix: int) -> None:
    """As the figures of cuDNN's suggest; the same twiddles are off in every channel and image."""
    accurate, _ = errors_of_an_fft(Transform(radix), side=60)
    ratio, largest = errors_of_an_fft(Transform(radix, off=1.5), side=60)
    assert accurate < ratio < LIMITS.ratio.limit
    assert largest < LIMITS.deviations.limit
    # Twiddles of a poor table are no rounding.
    ratio, _ = errors_of_an_fft(Transform(radix, off=16), side=60)
    assert ratio > LIMITS.ratio.limit


@pytest.mark.parametrize("wrong", [-1.0, 1.001, 1.0001], ids="times {}".format)
@pytest.mark.parametrize("radix", [2, 4])
def test_an_fft_with_one_wrong_twiddle_is_beyond_the_limits(radix: int, wrong: float) -> None:
    ratio, largest = errors_of_an_fft(Transform(radix, wrong=wrong), side=60)
    assert ratio > LIMITS.ratio.limit
    assert largest > LIMITS.deviations.limit
