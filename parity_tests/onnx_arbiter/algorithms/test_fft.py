"""The tiles of an FFT: what they give, and which an engine would choose."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_arbiter.algorithms.fft import FFTS, Fft
from parity_tests.support.tolerances import FLOAT64


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
