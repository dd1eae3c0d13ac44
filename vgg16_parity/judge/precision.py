"""Fewer bits than a run claims, and weights that were stored in fewer.

A run that claims float32 and computes in fewer bits stays broken, and is told from which layer on
it would hold, and as what. So that no pass of the arbiter is spent in vain, the errors' size
decides first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import MODES, TRUNCATED_TF32, Mode
from vgg16_parity.judge.evidence import WOULD_HOLD, Evidence, Suggestion
from vgg16_parity.judge.own_errors import read_by
from vgg16_parity.network.arithmetic import PLAIN, Arithmetic
from vgg16_parity.network.prediction import compute_roughly
from vgg16_parity.network.reference import layer_alone
from vgg16_parity.verdicts import LayerVerdict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.comparison.known_mistakes import TO_BFLOAT16, TO_FLOAT16

Values = NDArray[Any]

# rms(error) over rms(value), in roundoffs of a mode, between which the mode is tried: at the first
# layer that fails, and at one before which layers are not known, whose errors it brings along.
_OF_A_LAYER: Final = (1 / 8, 8.0)
_OF_SEVERAL: Final = (1 / 4, 32.0)
# The same of one layer for what it read, above which it computed in fewer bits than float32. It is
# between the roundoffs of float32, 6e-8, and TF32, 5e-4.
_FEWER_BITS: Final = 2.0**-15
# Modes that store fewer bits, the fewest first, and what they make of a value.
_STORED: Final = {"bfloat16": TO_BFLOAT16, "float16": TO_FLOAT16}
_ALL: Final = "all layers"
# What is tried: of TF32, operands that may be truncated, which allows for rounded ones too.
_TRIED: Final = tuple(
    replace(TRUNCATED_TF32, name=mode.name) if mode.operands else mode for mode in MODES.values()
)
# What rounded weights leave of an error that they explain.
_LEFT: Final = 1 / 8


def find_precision(evidence: Evidence) -> Iterator[Suggestion]:
    """The rounding of stored weights, and of each mode with fewer bits."""
    failed = [each for each in evidence.verdict.layers if not each.accumulated.passed]
    finite = all(np.isfinite(each.accumulated.rms_error) for each in failed)
    if not failed or not finite or evidence.expectation.case.extreme:
        return
    modes = _of_that_size(evidence, failed[0])
    if modes and (layers := _layers_with_fewer_bits(evidence, failed[0].tap)):
        stored = _stored_in(evidence, layers)
        if stored is None:
            yield from _with_rounded_weights(evidence, layers, failed[0])
        for mode in modes:
            if stored in (None, mode):
                known = stored is not None or _has_every_tap(evidence)
                yield _in_mode(evidence, layers, mode, known=known)


def _of_that_size(evidence: Evidence, first: LayerVerdict) -> list[Mode]:
    """The modes with fewer bits than the run's whose errors may be as large as these."""
    values = evidence.expectation.tap(first.tap, evidence.mode).preactivation
    size = float(np.sqrt(np.square(values).mean()))
    error = first.accumulated.rms_error / size if size else np.inf
    least, most = _OF_A_LAYER if _has_every_tap(evidence) else _OF_SEVERAL

    def roundoff(mode: Mode) -> float:
        return max(mode.sums, mode.operands, mode.stored)

    return [
        mode
        for mode in _TRIED
        if mode.name != evidence.mode.name
        and roundoff(mode) >= roundoff(evidence.mode)
        and least < error / roundoff(mode) < most
    ]


def _has_every_tap(evidence: Evidence) -> bool:
    return set(evidence.checkpoint.configuration.taps) <= set(evidence.taps)


def _layers_with_fewer_bits(evidence: Evidence, first: str) -> list[str]:
    """The layers that may have computed in fewer bits than the run's mode has.

    With every tap, those whose own errors are that large, in most channels: a mistake in a few is
    none of precision. With fewer taps, all layers behind the last tap that holds.
    """
    network = evidence.checkpoint.configuration
    weighted = [layer.name for layer in network.weighted_layers]
    if _has_every_tap(evidence):
        own = _own_errors(evidence)
        limit = max(_FEWER_BITS, 2 * evidence.mode.stored)
        return [name for name in weighted if own[name] > limit]
    told = [name for name in network.taps if name in evidence.taps]
    before = [
        each.tap for each in evidence.verdict.layers if told.index(each.tap) < told.index(first)
    ]
    start = network.taps.index(before[-1]) + 1 if before else 0
    return [name for name in weighted if network.taps.index(name) >= start]


def _stored_in(evidence: Evidence, layers: Sequence[str]) -> Mode | None:
    """The mode with the fewest bits whose numbers all outputs of the layers are, if one is."""
    outputs = [evidence.taps[name].astype(np.float32) for name in layers if name in evidence.taps]
    for name, rounded in _STORED.items():
        if all(np.array_equal(rounded.make(values), values) for values in outputs):
            return MODES[name]
    return None


def _with_rounded_weights(
    evidence: Evidence, layers: Sequence[str], first: LayerVerdict
) -> Iterator[Suggestion]:
    """The arithmetic of the run's mode with weights that were once stored in fewer bits."""
    image = _image(evidence)
    expected = evidence.expectation.tap(first.tap, evidence.mode)
    images, observed = evidence.expectation.case.images[image], evidence.taps[first.tap][image]

    def error(preactivation: Values) -> float:
        values = np.maximum(preactivation, 0) if expected.relu else preactivation
        return float(np.sqrt(np.square(observed - values).mean()))

    found = list[tuple[float, str, Checkpoint]]()
    for rounded, kinds in product(_STORED.values(), (("weight", "bias"), ("weight",))):
        names = {f"{layer}.{kind}" for layer in layers for kind in kinds}
        checkpoint = evidence.checkpoint.with_tensors(
            {name: evidence.checkpoint.tensor(name).transformed(rounded.make) for name in names}
        )
        # Weights beyond float16 become infinite, and explain nothing.
        with np.errstate(over="ignore", invalid="ignore"):
            taps = compute_roughly(checkpoint, images)
            values = next(tap.preactivation for tap in taps if tap.tap == first.tap)
        found.append((error(values), rounded.words, checkpoint))
    left, words, checkpoint = min(found, key=itemgetter(0))
    if left <= _LEFT * error(expected.preactivation[image]):
        every = len(layers) == len(checkpoint.configuration.weighted_layers)
        note = f"{WOULD_HOLD}with the weights of {_ALL if every else ', '.join(layers)} {words}"
        yield Suggestion(PLAIN, note, passes=False, checkpoint=checkpoint)


def _in_mode(evidence: Evidence, layers: Sequence[str], mode: Mode, *, known: bool) -> Suggestion:
    """The layers in another mode, and the others between and behind them in the run's.

    Unless it is ``known`` which these layers are, or that they store fewer bits, errors of that
    size may be a small mistake's as well.
    """
    weighted = [layer.name for layer in evidence.checkpoint.configuration.weighted_layers]
    modes, state = dict[str, Mode](), evidence.mode
    for name in weighted:
        wanted = mode if name in layers else evidence.mode
        if wanted != state:
            modes[name] = state = wanted
    where = _where(layers, weighted)
    note = f"{WOULD_HOLD}as {mode.name} {where}"
    if list(layers) == weighted and evidence.taps_optional:
        note += f" (a port is judged so with --port-mode {mode.name})"
    if not known:
        size = f"errors are no larger than in {mode.name} {where}"
        note = f"{size}: fewer bits, or a small mistake; taps tell which"
    return Suggestion(Arithmetic(modes=modes), note, passes=False)


def _where(layers: Sequence[str], weighted: Sequence[str]) -> str:
    """Some of the network's layers, in words."""
    start = weighted.index(layers[0])
    behind = weighted[start:]
    if len(layers) > 1 and list(layers) == behind:
        return f"from {layers[0]} on" if start else "throughout"
    if len(layers) > 2 and list(layers) == behind[: len(layers)]:
        return f"from {layers[0]} to {layers[-1]}"
    return f"in {', '.join(layers)}"


def _own_errors(evidence: Evidence) -> dict[str, float]:
    """Each layer's error for what the run itself gave it to read: the median of its channels'.

    rms(error) over rms(value), of the image whose logits are furthest off.
    """
    image, found = _image(evidence), {}
    for layer in evidence.checkpoint.configuration.weighted_layers:
        inputs = read_by(evidence, layer.name)[image]
        expected = layer_alone(evidence.checkpoint, layer, inputs).values
        axes = tuple(axis for axis in range(expected.ndim) if axis != 1)
        errors = np.square(evidence.taps[layer.name][image] - expected).mean(axis=axes)
        sizes = np.square(expected).mean(axis=axes)
        lit = (sizes > 0) | (errors > 0)
        relative = np.sqrt(np.median(errors[lit]) / sizes.mean()) if lit.any() else 0.0
        found[layer.name] = float(relative)
    return found


def _image(evidence: Evidence) -> slice:
    """The image that is furthest off at the last tap."""
    (image, *_) = evidence.verdict.layers[-1].accumulated.worst
    return slice(image, image + 1)
