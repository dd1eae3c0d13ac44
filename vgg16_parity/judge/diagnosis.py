"""Finds the known mistake that explains a port's values, from the values alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterCase, ArbiterTap
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.judge.evidence import WOULD_HOLD
from vgg16_parity.judge.known_inputs import Images, misread
from vgg16_parity.judge.known_outputs import LOGITS, explain, may_be_right
from vgg16_parity.network.prediction import compute_roughly, predict
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

Values = NDArray[Any]
# What a port may have computed: a description, the weights, and the images.
Computation: TypeAlias = tuple[str, Checkpoint, Images]

ADVICE: Final = "only logits were compared: return taps to judge each layer (docs/your-port.md)"
# Errors up to this pass the screening and are compared within the limits: in roundoffs of the mode,
# and at most this part of the values' rms.
_SCREENED: Final = 2000.0
_MOST_SCREENED: Final = 0.02


def with_notes(
    verdict: CaseVerdict,
    expectation: ArbiterCase,
    mode: Mode,
    taps: Mapping[str, Values],
    checkpoint: Checkpoint,
) -> CaseVerdict:
    """A port's verdict on a case, with notes: the mistake that explains it, and further advice.

    None is looked for where a note already says how the case would hold.
    """
    notes = list(verdict.notes)
    explained = verdict.holds or any(note.startswith(WOULD_HOLD) for note in notes)
    if not explained and verdict.layers and not expectation.case.extreme:
        arbiter = {tap: expectation.tap(tap, mode) for tap in expectation.relus if tap in taps}
        found = diagnose(checkpoint, expectation.case.images, taps, arbiter, mode)
        notes += [found] if found else []
    if set(taps) == {LOGITS} and len(expectation.relus) > 1 and verdict.layers:
        notes.append(ADVICE)
    return replace(verdict, notes=tuple(notes))


def diagnose(
    checkpoint: Checkpoint,
    images: Images,
    taps: Mapping[str, Values],
    arbiter: Mapping[str, ArbiterTap],
    mode: Mode = MODES["float32"],
    *,
    outputs_only: bool = False,
) -> str:
    """A sentence that names the mistake without which parity would hold; empty if none is known.

    Args:
        checkpoint: the arbiter's weights.
        images: the port's input, (N, 3, H, W).
        taps: the port's, by name.
        arbiter: the arbiter's taps of those names, in the network's order.
        mode: the port's numeric mode.
        outputs_only: whether to leave out mistakes that need another computation of the arbiter.
    """
    numeric = all(values.dtype.kind in "fiu" and values.ndim for values in taps.values())
    if not numeric or set(taps) - set(arbiter):
        return ""
    if said := explain(taps, arbiter.items()):
        return f"the values are the arbiter's, but {said}"
    readable = may_be_right(taps[LOGITS], arbiter[LOGITS].preactivation.shape)
    if outputs_only or not readable:
        return ""
    # One image shows which computations are worth running on all of them.
    chosen = _worst(taps, arbiter)
    of_one = {name: _of_image(chosen, values, len(images)) for name, values in taps.items()}
    computations = chain(
        _on_another_input(checkpoint, images), _with_other_weights(checkpoint, images)
    )
    for words, other, altered in computations:
        known = set(taps) <= set(other.configuration.taps)
        one = altered[chosen : chosen + 1]
        if not known or explain(of_one, _roughly(other, one, mode)) is None:
            continue
        said = explain(taps, _exactly(other, altered, mode))
        if said is not None:
            more = f", but {said}" if said else ""
            return f"the values are the arbiter's {words}{more}"
    return ""


def _worst(taps: Mapping[str, Values], arbiter: Mapping[str, ArbiterTap]) -> int:
    """The image whose logits are furthest from the arbiter's; the first if shapes differ."""
    if taps[LOGITS].shape != arbiter[LOGITS].preactivation.shape:
        return 0
    errors = np.abs(taps[LOGITS].astype(np.float64) - arbiter[LOGITS].preactivation)
    return int(errors.max(axis=1).argmax())


def _of_image(index: int, values: Values, images: int) -> Values:
    """An image's part of a tap, whatever its other axes are."""
    rows = len(values) // images
    return values[index * rows : (index + 1) * rows]


def _on_another_input(checkpoint: Checkpoint, images: Images) -> Iterator[Computation]:
    recipe = None
    with suppress(BadInput):  # a prepared batch needs none
        recipe = checkpoint.recipe
    for words, altered in misread(images, recipe):
        yield f"on another input: {words}", checkpoint, altered


def _with_other_weights(checkpoint: Checkpoint, images: Images) -> Iterator[Computation]:
    """The seeded default weights that a port may have used instead of the arbiter's."""
    own = checkpoint.configuration
    for configuration in CONFIGURATIONS.values():
        other = generate(configuration.with_head(classes=own.classes))
        same = (other.configuration, other.metadata) == (own, checkpoint.metadata)
        if configuration.input_size == own.input_size and not same:
            name = configuration.name
            yield f"with the seeded default weights of configuration {name}", other, images


def _exactly(
    checkpoint: Checkpoint, images: Images, mode: Mode
) -> Iterator[tuple[str, ArbiterTap]]:
    for tap in predict(checkpoint, images, [mode]):
        deviations = (tap.accumulated[mode.name], tap.local[mode.name])
        yield tap.tap, ArbiterTap(tap.preactivation, tap.relu, *deviations)


def _roughly(
    checkpoint: Checkpoint, images: Images, mode: Mode
) -> Iterator[tuple[str, ArbiterTap]]:
    """The values, with predicted errors so large that everything near them passes."""
    size = min(_MOST_SCREENED, _SCREENED * max(mode.sums, mode.operands, mode.stored))
    for tap in compute_roughly(checkpoint, images):
        values = tap.preactivation.astype(np.float64)
        rms = float(np.sqrt(np.square(values).mean()))
        deviation = np.full(values.shape, size * rms, np.float32)
        yield tap.tap, ArbiterTap(values, tap.relu, deviation, deviation)
