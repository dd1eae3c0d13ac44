"""Which algorithm computed a network's 3x3 convolutions, told from the rounding errors.

A transform of tiles rounds some rows and columns of a tile more than others, so the errors of
Winograd's F(m x m) have the period m. F(2x2) treats its two rows alike and has none. It rounds
hardly more than a direct sum, so only layers that fail as one are tried with it.

A layer shows an algorithm if its own errors have the period and are likelier under it than as a
direct sum's in three quarters of the channels: one wrong weight or bias shows in one channel, and
small maps have some period by chance. What the layers show together goes for a layer that shows
nothing, unless its errors are likelier as a direct sum's. The arbiter then judges every layer again
within the same limits, under which every mistake of the catalogue stays one, whatever the algorithm
(``parity_tests/vgg16_parity/judge/algorithms/test_mistakes.py``).

An FFT spreads its errors evenly over a tile, dark places included. So does a bias that is a little
wrong, but that shifts its channel by the same in every tile and image: a layer that fails shows an
FFT if, in three quarters of the channels, its errors without such a shift are likelier under it.
No layer is computed by one because others are. An FFT that a layer does not show so is only named,
in a note on a case that stays broken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.fft import FFTS, Fft
from onnx_arbiter.algorithms.winograd import KERNEL, WINOGRAD, Winograd
from vgg16_parity.judge.evidence import WOULD_HOLD, Evidence, Suggestion
from vgg16_parity.judge.own_errors import OwnErrors, own_errors
from vgg16_parity.judge.patterns import periods
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.verdicts import CaseVerdict, by_algorithm
from vgg16_spec.architecture import Configuration, Convolution

LOGITS_ALONE: Final = (
    "convolutions by Winograd's algorithm may round so much: "
    "return taps to tell that from a mistake (docs/your-port.md)"
)
NO_PATTERN: Final = (
    "the errors have no pattern that a mistake lacks: compute without FFTs to tell them apart"
)
# R above which an error is of no algorithm in float32.
_POOREST: Final = 1000.0
# R of a layer under an algorithm, above which the arbiter need not run by it: what is judged then
# is limited more narrowly.
_FITS: Final = 4.0
# R as a direct sum, above which no FFT fits: it rounds at most a few times as much as one.
_BEYOND_FFTS: Final = 16.0
# The share of a layer's channels that an algorithm must explain better than a direct sum does.
_CHANNELS: Final = 0.75
# By how much the errors of a layer without a pattern may be likelier as a direct sum's, in the
# logarithm of an error's likelihood: maps without a whole tile show the same under both.
_ALIKE: Final = 0.02
# F(2x2) has no period.
_NO_PERIOD: Final = 2
# Passes of the arbiter.
_MOST_TRIED: Final = 3


def find_algorithm(evidence: Evidence) -> Iterator[Suggestion]:
    """What the layers' errors suggest, with a note that names it."""
    if not _small(evidence.verdict):
        return
    options = _options(evidence)
    place = dict.fromkeys(options, 0)
    for _ in range(_MOST_TRIED if options else 0):
        algorithms = {layer: each[place[layer]] for layer, each in options.items()}
        arithmetic = replace(evidence.assumed, algorithms=algorithms)
        yield Suggestion(arithmetic, described(evidence, algorithms))
        failed = _failed(evidence.judge_as(arithmetic))
        others = [each for each in failed if each in options and options[each][place[each] + 1 :]]
        if not others:
            return
        # In a forward pass, those behind the first may only have read what it got wrong.
        for layer in others if evidence.layers else others[:1]:
            place[layer] += 1


def find_fft(evidence: Evidence) -> Iterator[Suggestion]:
    """The likeliest FFT of every convolution that fails, if that explains it; it stays broken."""
    if not _small(evidence.verdict):
        return
    convolutions = {each.name: each for each in kernels_of_three(evidence.checkpoint.configuration)}
    failed = _failed(evidence.verdict)
    # In a forward pass, what fails behind the first may only have read what it got wrong.
    if any(layer not in convolutions for layer in (failed if evidence.layers else failed[:1])):
        return
    algorithms = dict[str, Algorithm]()
    for layer in filter(convolutions.__contains__, failed):
        errors = own_errors(evidence, convolutions[layer])
        if errors is None or not errors.fail:
            continue
        fits = {fft: errors.by(fft) for fft in ffts_of(errors)}
        costs = {
            fft: float(np.nanmedian(each.costs)) for fft, each in fits.items() if each.ratio < _FITS
        }
        if not costs:
            return
        algorithms[layer] = min(costs, key=costs.__getitem__)
    if algorithms:
        told = f"{WOULD_HOLD}with {described(evidence, algorithms)}; {NO_PATTERN}"
        arithmetic = replace(evidence.assumed, algorithms=algorithms)
        yield Suggestion(arithmetic, told, passes=False)


def find_logits_alone(evidence: Evidence) -> Iterator[Suggestion]:
    """Where nothing but logits was compared: whether the roughest algorithm would explain them.

    Logits show no tiles, so the case stays broken, with a note.
    """
    compared = [layer.tap for layer in evidence.verdict.layers]
    if compared == [evidence.expectation.last] and _small(evidence.verdict):
        layers = kernels_of_three(evidence.checkpoint.configuration)
        algorithms = {layer.name: WINOGRAD[-1] for layer in layers}
        yield Suggestion(Arithmetic(algorithms=algorithms), LOGITS_ALONE, passes=False)


def described(evidence: Evidence, algorithms: Mapping[str, Algorithm]) -> str:
    """A note of the algorithm that computed each layer, in the network's order."""
    names = {layer: algorithm.name for layer, algorithm in algorithms.items()}
    order = [each.name for each in evidence.checkpoint.configuration.convolutions]
    return by_algorithm(names, order)


def kernels_of_three(network: Configuration) -> list[Convolution]:
    """The layers that Winograd's algorithm may compute."""
    return [layer for layer in network.convolutions if layer.kernel_size == KERNEL]


def suggested(errors: OwnErrors) -> dict[Algorithm, float]:
    """The algorithms that a layer's errors show -> how much likelier they are.

    That is the median over the channels, of the logarithm of an error's likelihood.
    """
    # A period of 4 looks like one of 6 or 8 where maps have few tiles: the likelihood decides.
    sizes = periods(errors.values / errors.deviation, {each.outputs for each in WINOGRAD})
    found = dict[Algorithm, float]()
    for candidate in WINOGRAD:
        if candidate.outputs in sizes or (candidate.outputs == _NO_PERIOD and errors.fail):
            gains = _gains(errors, candidate)
            # An algorithm rounds in every channel, a wrong weight or bias shows in one.
            if gains.size and np.quantile(gains, 1 - _CHANNELS) > 0:
                found[candidate] = float(np.median(gains))
    if errors.fail and all(each.outputs == _NO_PERIOD for each in found):
        found |= _ffts_shown(errors)
    return found


def _ffts_shown(errors: OwnErrors) -> dict[Algorithm, float]:
    """The FFTs that explain the errors, but for a shift of each channel, in most channels."""
    direct, found = errors.unshifted_by(None), dict[Algorithm, float]()
    for fft in ffts_of(errors):
        gains = direct.costs - errors.unshifted_by(fft).costs
        gains = gains[~np.isnan(gains)]
        fits = errors.by(fft).ratio < _FITS
        if fits and gains.size and np.quantile(gains, 1 - _CHANNELS) > 0:
            found[fft] = float(np.median(gains))
    return found


def ffts_of(errors: OwnErrors) -> list[Fft]:
    """The FFTs that an engine would choose for a layer's map, unless none rounds so much."""
    if errors.as_direct.ratio > _BEYOND_FFTS:
        return []
    return [fft for fft in FFTS if fft.is_for(*errors.values.shape[2:])]


def _options(evidence: Evidence) -> dict[str, list[Algorithm]]:
    """Layer -> the algorithms that may have computed it, those first that the network shows."""
    shown, failing = dict[str, dict[Algorithm, float]](), set[str]()
    gains = defaultdict[Algorithm, float](float)
    layers = {each.name: each for each in kernels_of_three(evidence.checkpoint.configuration)}
    for name, layer in layers.items():
        if (errors := own_errors(evidence, layer)) is not None:
            shown[name] = suggested(errors)
            if errors.fail:
                failing.add(name)
            for algorithm, gain in shown[name].items():
                if isinstance(algorithm, Winograd):
                    gains[algorithm] += gain
    order = sorted(gains, key=gains.__getitem__, reverse=True)
    options = dict.fromkeys(layers, order)  # nothing is known of a layer without a tap
    for name, found in shown.items():
        likeliest = sorted(found, key=found.__getitem__, reverse=True)
        if likeliest and isinstance(likeliest[0], Fft):
            options[name] = likeliest
            continue
        own = set(found)
        if name in failing and (errors := own_errors(evidence, layers[name])) is not None:
            own = own | {each for each in order if each not in own and _may_be_by(each, errors)}
        options[name] = [each for each in order if each in own]
    return {name: found for name, found in options.items() if found}


def _may_be_by(algorithm: Algorithm, errors: OwnErrors) -> bool:
    """Whether errors without a pattern are about as likely under an algorithm."""
    gains = _gains(errors, algorithm)
    return bool(gains.size) and float(np.median(gains)) > -_ALIKE


def _gains(errors: OwnErrors, algorithm: Algorithm) -> NDArray[np.float64]:
    """How much likelier each channel's errors are under an algorithm; none if it does not fit."""
    found = errors.by(algorithm)
    gains = errors.as_direct.costs - found.costs
    return gains[~np.isnan(gains)] if found.ratio < _FITS else gains[:0]


def _failed(verdict: CaseVerdict) -> list[str]:
    """The layers that fail alone, or the taps that fail where none was run alone."""
    return [layer.tap for layer in verdict.layers if not (layer.local or layer.accumulated).passed]


def _small(verdict: CaseVerdict) -> bool:
    """Whether layers were compared, and every error may still be of rounding."""
    compared = (v for layer in verdict.layers for v in (layer.accumulated, layer.local))
    return bool(verdict.layers) and all(v is None or v.ratio < _POOREST for v in compared)
