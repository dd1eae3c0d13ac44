"""Which algorithm computed a network's 3x3 convolutions, told from the rounding errors.

``onnx_arbiter.algorithms.recognition`` says what the errors of each layer show. The arbiter then
judges every layer again within the same limits, under which every mistake of the catalogue stays
one, whatever the algorithm (``parity_tests/vgg16_parity/judge/algorithms/test_mistakes.py``). An
FFT that a layer does not show is only named, in a note on a case that stays broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from onnx_arbiter.algorithms.algorithm import Algorithm
from onnx_arbiter.algorithms.recognition import (
    FITS,
    POOREST,
    assignments,
    by_algorithm,
    ffts_of,
    options_of,
)
from onnx_arbiter.algorithms.winograd import KERNEL, WINOGRAD
from vgg16_parity.judge.evidence import WOULD_HOLD, Evidence, Suggestion
from vgg16_parity.judge.own_errors import own_errors
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.architecture import Configuration, Convolution

LOGITS_ALONE: Final = (
    "convolutions by Winograd's algorithm may round so much: "
    "return taps to tell that from a mistake (docs/your-port.md)"
)
NO_PATTERN: Final = (
    "the errors have no pattern that a mistake lacks: compute without FFTs to tell them apart"
)


def find_algorithm(evidence: Evidence) -> Iterator[Suggestion]:
    """What the layers' errors suggest, with a note that names it."""
    if not _small(evidence.verdict):
        return
    layers = {each.name: each for each in kernels_of_three(evidence.checkpoint.configuration)}
    options = options_of(layers, lambda name: own_errors(evidence, layers[name]))

    def arithmetic(algorithms: Mapping[str, Algorithm]) -> Arithmetic:
        return replace(evidence.assumed, algorithms=algorithms)

    def still_fail(algorithms: Mapping[str, Algorithm]) -> list[str]:
        return _failed(evidence.judge_as(arithmetic(algorithms)))

    for algorithms in assignments(options, still_fail, alone=bool(evidence.layers)):
        yield Suggestion(arithmetic(algorithms), described(evidence, algorithms))


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
            fft: float(np.nanmedian(each.costs)) for fft, each in fits.items() if each.ratio < FITS
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


def _failed(verdict: CaseVerdict) -> list[str]:
    """The layers that fail alone, or the taps that fail where none was run alone."""
    return [layer.tap for layer in verdict.layers if not (layer.local or layer.accumulated).passed]


def _small(verdict: CaseVerdict) -> bool:
    """Whether layers were compared, and every error may still be of rounding."""
    compared = (v for layer in verdict.layers for v in (layer.accumulated, layer.local))
    return bool(verdict.layers) and all(v is None or v.ratio < POOREST for v in compared)
