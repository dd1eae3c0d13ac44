"""Which known mistake makes a port of what the arbiter computes, told from its values alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterCase, ArbiterTap
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.judge.known_inputs import Images, misread
from vgg16_parity.judge.known_outputs import LOGITS, explain
from vgg16_parity.network.prediction import predict
from vgg16_parity.records import CaseVerdict
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.preprocessing import RECIPES

Values = NDArray[Any]

ADVICE: Final = "only logits were compared: return taps to judge each layer (docs/your-port.md)"
# What is let through, to be compared within the limits: in roundoffs of the mode, and the most in
# rms of the values.
_SCREENED: Final = 2000.0
_MOST_SCREENED: Final = 0.02


def with_notes(
    verdict: CaseVerdict,
    expectation: ArbiterCase,
    mode: Mode,
    taps: Mapping[str, Values],
    checkpoint: Checkpoint,
) -> CaseVerdict:
    """A port's verdict on a case, with the mistake that explains it and what would show more."""
    notes = list(verdict.notes)
    broken = verdict.reason or not all(layer.accumulated.passed for layer in verdict.layers)
    if broken and verdict.layers and not expectation.case.extreme:
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
    """A sentence on the mistake under which parity would hold; empty if none is known.

    Args:
        checkpoint: what the arbiter computed with.
        images: what the port was given, (N, 3, H, W).
        taps: the port's, by name.
        arbiter: the arbiter's taps of those names, in the network's order.
        mode: the port's numeric mode.
        outputs_only: whether the arbiter need not compute again, on other inputs or weights.
    """
    numeric = all(values.dtype.kind in "fiu" and values.ndim for values in taps.values())
    if not numeric or set(taps) - set(arbiter):
        return ""
    if said := explain(taps, arbiter.items()):
        return f"the values are the arbiter's, but {said}"
    if outputs_only:
        return ""
    recipe = RECIPES.get(checkpoint.metadata.recipe)
    for words, altered in misread(images, recipe):
        said = _computed(checkpoint, altered, taps, mode)
        if said is not None:
            more = f", but {said}" if said else ""
            return f"the values are the arbiter's on another input: {words}{more}"
    return _other_weights(checkpoint, images, taps, mode)


def _other_weights(
    checkpoint: Checkpoint, images: Images, taps: Mapping[str, Values], mode: Mode
) -> str:
    """Whose default weights a port used, if they are not the arbiter's."""
    own = checkpoint.configuration
    for configuration in CONFIGURATIONS.values():
        other = generate(configuration.with_head(classes=own.classes))
        same = (other.configuration, other.metadata) == (own, checkpoint.metadata)
        if configuration.input_size != own.input_size or same:
            continue
        said = _computed(other, images, taps, mode)
        if said is not None:
            more = f", but {said}" if said else ""
            return (
                "the values are the arbiter's with the seeded default weights of configuration "
                f"{configuration.name}{more}"
            )
    return ""


def _computed(
    checkpoint: Checkpoint, images: Images, taps: Mapping[str, Values], mode: Mode
) -> str | None:
    """Under which mistakes of its outputs a port computed this; None if it did not.

    The first image is compared first and roughly, without the cost of predicted errors.
    """
    if not set(taps) <= set(checkpoint.configuration.taps):
        return None
    first = {name: values[: len(values) // len(images)] for name, values in taps.items()}
    if explain(first, _roughly(checkpoint, images[:1], mode)) is None:
        return None
    return explain(taps, _exactly(checkpoint, images, mode))


def _exactly(
    checkpoint: Checkpoint, images: Images, mode: Mode
) -> Iterator[tuple[str, ArbiterTap]]:
    for tap in predict(checkpoint, images, [mode]):
        deviations = (tap.accumulated[mode.name], tap.local[mode.name])
        yield tap.tap, ArbiterTap(tap.preactivation, tap.relu, *deviations)


def _roughly(
    checkpoint: Checkpoint, images: Images, mode: Mode
) -> Iterator[tuple[str, ArbiterTap]]:
    size = min(_MOST_SCREENED, _SCREENED * max(mode.sums, mode.operands, mode.stored))
    for tap in predict(checkpoint, images, ()):
        rms = float(np.sqrt(np.square(tap.preactivation).mean()))
        deviation = np.full(tap.preactivation.shape, size * rms, np.float32)
        yield tap.tap, ArbiterTap(tap.preactivation, tap.relu, deviation, deviation)
