"""Which algorithm computed a network's 3x3 convolutions, told from the rounding errors.

A transform of tiles rounds some rows and columns of a tile more than others, so the errors of
Winograd's F(m x m) have the period m: in OpenCV's F(6x6), rms(error / predicted) by row modulo 6 is
2.3, 1.1, .89, .89, 1.1, 2.2, where a direct sum's is flat. F(2x2) treats its two rows alike, so
that nothing shows it; its errors are hardly larger than a direct sum's, by which it is judged. Of
six seeds of tiny, one layer failed that, with Z = 10.4.

A layer shows an algorithm if its errors have the period and are likelier under it than as a direct
sum's in three quarters of the channels: one wrong weight or bias shows in one channel, and small
maps have some period by chance. The algorithm then explains the layer if the errors are within the
same limits under it; no algorithm in float32 is so poor that a mistake of the catalogue would be.

An FFT spreads its errors evenly over a tile, dark places included. So does a bias that is a little
wrong: under FFTs, direct sums with one bias of tiny's block1_conv1 3e-7 too large were within the
limits. An FFT is therefore only named, in a note on a case that stays broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf, nan, sqrt
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.fft import FFTS
from onnx_arbiter.algorithms.winograd import KERNEL, WINOGRAD
from onnx_arbiter.expectations import given, images
from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF
from vgg16_parity.judge.evidence import WOULD_HOLD, Evidence, Suggestion
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.verdicts import CaseVerdict, by_algorithm

LOGITS_ALONE: Final = (
    "convolutions by Winograd's algorithm may round so much: "
    "return taps to tell that from a mistake (docs/your-port.md)"
)
NO_PATTERN: Final = (
    "an FFT's errors have no pattern that a mistake lacks: compute without FFTs to tell them apart"
)
# The largest ratio of one period that a direct sum's errors do not reach: they are flat within
# 1 % in large layers, within a few in small ones.
_PERIODIC: Final = 1.1
# No algorithm in float32 rounds as badly; MNN's is 62 times a direct sum.
_POOREST: Final = 1000.0
# R of a layer under an algorithm's own rounding, above which the arbiter need not run by it: what
# the input brings along is not in it.
_FITS: Final = 4.0
# The share of a layer's channels that an algorithm must explain better than a direct sum does.
_CHANNELS: Final = 0.75
# The axes of a channel's values: images, rows, columns.
_PLACES: Final = (0, 2, 3)
# Passes of the arbiter.
_MOST_TRIED: Final = 3


def find_algorithm(evidence: Evidence) -> Iterator[Suggestion]:
    """What the errors suggest for every 3x3 convolution that fails, with a note that names it."""
    order = evidence.checkpoint.configuration.taps
    for arithmetic in _choices(evidence, suggested):
        yield Suggestion(arithmetic, by_algorithm(names_of(arithmetic), order))


def find_fft(evidence: Evidence) -> Iterator[Suggestion]:
    """FFTs that would explain every 3x3 convolution that fails; the case stays broken."""
    order = evidence.checkpoint.configuration.taps
    for arithmetic in _choices(evidence, _ffts):
        told = f"{WOULD_HOLD}with {by_algorithm(names_of(arithmetic), order)}; {NO_PATTERN}"
        yield Suggestion(arithmetic, told, passes=False)


def _choices(
    evidence: Evidence, candidates: Callable[[Evidence, str], list[Algorithm]]
) -> Iterator[Arithmetic]:
    """An algorithm for every convolution that fails; then for those that still do, another."""
    chosen = dict[str, Algorithm]()
    tried = dict[str, list[Algorithm]]()
    verdict = evidence.verdict
    for _ in range(_MOST_TRIED):
        failing = _failing(evidence, verdict)
        if not failing:
            return
        first = failing[0]
        known = tried.setdefault(first, [])
        found = [each for each in candidates(evidence, first) if each not in known]
        if not found:
            return
        known.append(found[0])
        chosen |= dict.fromkeys(failing, found[0])
        order = evidence.checkpoint.configuration.taps
        chosen = {layer: chosen[layer] for layer in order if layer in chosen}
        arithmetic = Arithmetic(algorithms=chosen)
        yield arithmetic
        verdict = evidence.judge_as(arithmetic)


def find_logits_alone(evidence: Evidence) -> Iterator[Suggestion]:
    """Where nothing but logits was compared: whether the roughest algorithm would explain them.

    Logits show no tiles, so the case stays broken, with a note.
    """
    compared = [layer.tap for layer in evidence.verdict.layers]
    if compared == [evidence.expectation.last] and _small(evidence.verdict):
        algorithms = dict.fromkeys(convolutions(evidence), WINOGRAD[-1])
        yield Suggestion(Arithmetic(algorithms=algorithms), LOGITS_ALONE, passes=False)


def names_of(arithmetic: Arithmetic) -> dict[str, str]:
    """Layer -> the name of its algorithm."""
    return {layer: algorithm.name for layer, algorithm in arithmetic.algorithms.items()}


def suggested(evidence: Evidence, layer: str) -> list[Algorithm]:
    """Winograd's algorithms whose tiles a layer's errors show, the likeliest first."""
    errors = _errors(evidence, layer)
    if errors is None:
        return []
    shown = periods(errors.scaled)
    # A period of 4 looks like one of 6 or 8 where maps have few tiles: the likelihood decides.
    candidates = [each for each in WINOGRAD if each.outputs in shown]
    fits = list[tuple[float, Algorithm]]()
    for candidate, fit in _fitting(evidence, layer, errors, candidates):
        gains = errors.as_direct.costs - fit.costs
        gains = gains[~np.isnan(gains)]
        # An algorithm rounds in every channel, a wrong weight or bias shows in one.
        if gains.size and np.quantile(gains, 1 - _CHANNELS) > 0:
            fits.append((float(np.median(gains)), candidate))
    return [candidate for _, candidate in sorted(fits, key=itemgetter(0), reverse=True)]


def _ffts(evidence: Evidence, layer: str) -> list[Algorithm]:
    """FFTs under which a layer's errors are not too large, the likeliest first."""
    errors = _errors(evidence, layer)
    if errors is None:
        return []
    fits = _fitting(evidence, layer, errors, FFTS)
    ordered = sorted(
        ((float(np.nanmedian(fit.costs)), each) for each, fit in fits), key=itemgetter(0)
    )
    return [candidate for _, candidate in ordered]


def _fitting(
    evidence: Evidence, layer: str, errors: _Errors, candidates: Sequence[Algorithm]
) -> Iterator[tuple[Algorithm, _Fit]]:
    """The algorithms that a layer's errors are not too large for."""
    inputs = _inputs(evidence, layer).astype(np.float64)
    weight = evidence.checkpoint[f"{layer}.weight"]
    for candidate in candidates:
        variance = candidate.rounding(inputs, weight, evidence.mode)
        fit = _fit(errors.values, FLOAT32_ROUNDOFF * np.sqrt(variance / 3))
        if fit.ratio < _FITS:
            yield candidate, fit


def periods(scaled: NDArray[np.float64]) -> list[int]:
    """The sizes of a tile whose period the errors show along rows and along columns.

    ``scaled`` is (N, C, H, W), in predicted standard deviations; NaN where a ReLU cut an error off.
    """
    # A channel with larger errors than the others has no more say than they.
    roots = np.sqrt(np.nansum(np.square(scaled), axis=_PLACES, keepdims=True))
    counts = np.count_nonzero(np.isfinite(scaled), axis=_PLACES, keepdims=True)
    scaled = scaled * np.sqrt(counts) / np.where(roots > 0, roots, nan)
    sizes = sorted({each.outputs for each in WINOGRAD})
    profiles = {size: [profile(scaled, size, axis) for axis in (2, 3)] for size in sizes}
    return [
        size
        for size, both in profiles.items()
        if all(min(each) > 0 and max(each) > _PERIODIC * min(each) for each in both)
    ]


def profile(scaled: NDArray[np.float64], size: int, axis: int) -> list[float]:
    """rms(error / predicted) of every row, or column, modulo a size; 0 where no error shows."""
    lines = np.moveaxis(scaled, axis, 0)
    squares = np.nansum(np.square(lines), axis=(1, 2, 3))
    counts = np.count_nonzero(np.isfinite(lines), axis=(1, 2, 3))
    return [
        float(np.sqrt(squares[start::size].sum() / max(1, counts[start::size].sum())))
        for start in range(min(size, len(lines)))  # a map may be smaller than a tile
    ]


class _Errors(NamedTuple):
    """A layer's errors, and the same in a direct sum's deviations; NaN where cut off."""

    values: NDArray[np.float64]
    scaled: NDArray[np.float64]
    as_direct: _Fit


def _errors(evidence: Evidence, layer: str) -> _Errors | None:
    kind, values = ("local", evidence.layers) if evidence.layers else ("accumulated", evidence.taps)
    expected = evidence.expectation.tap(layer, evidence.mode)
    observed = values.get(layer)
    if observed is None or observed.shape != expected.preactivation.shape:
        return None
    visible = (observed > 0) & (expected.preactivation > 0) if expected.relu else True
    errors = np.where(visible, observed - expected.preactivation, np.nan)
    deviation = getattr(expected, kind)
    return _Errors(errors, errors / deviation, _fit(errors, deviation))


class _Fit(NamedTuple):
    """How well deviations explain errors: rms(error) over rms(predicted), and each channel's cost.

    The cost is the negative logarithm of the likelihood of normal errors, whatever their size; NaN
    in a channel without errors.
    """

    ratio: float
    costs: NDArray[np.float64]


def _fit(errors: NDArray[np.float64], deviation: NDArray[Any]) -> _Fit:
    seen = np.isfinite(errors) & (deviation > 0)
    counts = np.maximum(1, np.count_nonzero(seen, axis=_PLACES))
    found, predicted = np.where(seen, errors, 0.0), np.where(seen, deviation, 1.0)
    squares = np.square(found / predicted).sum(axis=_PLACES) / counts
    logarithms = np.log(predicted).sum(axis=_PLACES) / counts
    costs = np.where(squares > 0, logarithms + np.log(np.where(squares > 0, squares, 1)) / 2, nan)
    expected = float(np.square(predicted[seen]).sum())
    return _Fit(sqrt(float(np.square(found).sum()) / expected) if expected else inf, costs)


def _inputs(evidence: Evidence, layer: str) -> NDArray[np.float32]:
    """The arbiter's input of a layer."""
    taps = evidence.checkpoint.configuration.taps
    place, folder = taps.index(layer), evidence.expectation.folder
    if not place:
        return images(folder)
    before = taps[place - 1]
    return given(folder, [before])[before]


def convolutions(evidence: Evidence) -> list[str]:
    """The layers with kernels of 3x3."""
    layers = evidence.checkpoint.configuration.convolutions
    return [layer.name for layer in layers if layer.kernel_size == KERNEL]


def _small(verdict: CaseVerdict) -> bool:
    """Whether every error may still be of rounding."""
    compared = (v for layer in verdict.layers for v in (layer.accumulated, layer.local))
    return all(v is None or v.ratio < _POOREST for v in compared)


def _failing(evidence: Evidence, verdict: CaseVerdict) -> list[str]:
    """The 3x3 convolutions that fail; none if something fails that they cannot explain."""
    if not verdict.layers or not _small(verdict):
        return []
    alone = any(layer.local is not None for layer in verdict.layers)
    verdicts = {
        layer.tap: layer.local if alone and layer.local is not None else layer.accumulated
        for layer in verdict.layers
    }
    failed = [tap for tap, one in verdicts.items() if not one.passed]
    known = convolutions(evidence)
    # Alone, every layer answers for itself; in a forward pass, a layer answers for those before it.
    blamed = failed if alone else failed[:1]
    if any(tap not in known for tap in blamed):
        return []
    return [tap for tap in failed if tap in known]
