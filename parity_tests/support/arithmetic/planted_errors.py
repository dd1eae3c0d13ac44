"""A run of a small network whose layers err by as much as a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.expectations import ArbiterCase
from onnx_arbiter.numeric_modes import MODES, TRUNCATED_TF32, Mode
from parity_tests.support.pages.reports import verdict
from vgg16_parity.judge.evidence import Evidence, Suggestion
from vgg16_parity.network.reference import layer_alone
from vgg16_parity.verdicts import CaseVerdict, LayerVerdict
from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint import Checkpoint

Values = NDArray[Any]

SMALL: Final = Configuration("small", ("3-6", "3-5"), hidden_units=30, input_size=8, classes=20)
FIRST, SECOND, FC1, FC2, LAST = (layer.name for layer in SMALL.weighted_layers)
FLOAT32, FLOAT16, BFLOAT16 = (MODES[name] for name in ("float32", "float16", "bfloat16"))
TF32: Final = replace(TRUNCATED_TF32, name="tf32")
# The largest relative error of a layer's own that float32 may have.
LARGEST: Final = 2.0**-15
# An error that is about bfloat16's roundoff, and too large for the others'.
OF_BFLOAT16: Final = 2.0**-7.5
BELOW, ABOVE = 0.95 * LARGEST, 1.05 * LARGEST
IMAGES: Final = np.random.default_rng(0).standard_normal((3, *SMALL.input_shape), np.float32)


def walked(
    checkpoint: Checkpoint, own: Mapping[str, float] | None = None, image: int | None = None
) -> dict[str, Values]:
    """Every tap, where each layer errs by a share of its values' rms; of one image, or of all."""
    signs, taps, values = np.random.default_rng(1), {}, IMAGES
    for layer in checkpoint.configuration.layers:
        if layer.name in checkpoint.configuration.taps:
            right = layer_alone(checkpoint, cast("Any", layer), values).values
            rms = np.sqrt(np.square(right).mean(axis=tuple(range(1, right.ndim)), keepdims=True))
            errors = signs.choice([-1.0, 1.0], right.shape) * rms * (own or {}).get(layer.name, 0)
            if image is not None:
                errors[np.arange(len(errors)) != image] = 0
            values = taps[layer.name] = (right + errors).astype(np.float32)
    return taps


def run(
    checkpoint: Checkpoint,
    taps: Mapping[str, Values],
    failing: Mapping[str, float],
    mode: Mode = FLOAT32,
    *,
    worst: int = 0,
    extreme: bool = False,
    optional: bool = False,
) -> Evidence:
    """A run that fails at some taps, each with an rms error in units of the arbiter's values' rms.

    ``worst`` is the image that is furthest off at the last tap.
    """
    arbiter = walked(checkpoint)

    def tap(name: str, _: Mode) -> SimpleNamespace:
        return SimpleNamespace(preactivation=arbiter[name], relu=name != LAST)

    layers = []
    for name in taps:
        size = float(np.sqrt(np.square(arbiter[name], dtype=np.float64).mean()))
        place = worst if name == list(taps)[-1] else 2 - worst
        accumulated = verdict(reason="off" if name in failing else "")
        error = failing.get(name, 0.0) * size
        layers.append(LayerVerdict(name, replace(accumulated, rms_error=error, worst=(place, 0))))
    case = SimpleNamespace(images=IMAGES, extreme=extreme)
    expectation = cast("ArbiterCase", SimpleNamespace(case=case, tap=tap))
    judged = CaseVerdict("case", tuple(layers), ())
    return Evidence(checkpoint, expectation, mode, taps, {}, judged, optional)


def told(found: Sequence[Suggestion]) -> list[str]:
    assert not any(each.passes for each in found)
    return [each.note for each in found]
