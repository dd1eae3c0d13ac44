"""Operands that hardware truncated, where the run's mode rounds them.

Truncated numbers are nearer to zero, so each layer's outputs, less the bias, shrink by the same
share. In most layers of a run that truncates, the errors fall along the outputs at that slope; a
mistake in a few layers does not make them. Logits alone do not tell: there the case stays broken,
with a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from onnx_arbiter.numeric_modes import TRUNCATED_TF32
from vgg16_parity.judge.evidence import Evidence, Suggestion
from vgg16_parity.judge.own_errors import own_errors
from vgg16_spec.architecture import WeightedLayer

NOTE: Final = "as by TF32 of truncated operands"
LOGITS_ALONE: Final = (
    "TF32 of truncated operands may err so much: return taps to tell that from a mistake "
    "(docs/your-port.md)"
)
# Between which shares of the predicted slope a layer shows truncation: inputs or weights that are
# exact in TF32 lose nothing, which halves it.
_SLOPES: Final = (0.4, 1.3)
# The share of the layers that must show it: the first may be computed in float32, and dense layers.
_LAYERS: Final = 0.7


def find_truncation(evidence: Evidence) -> Iterator[Suggestion]:
    """The run's mode with truncated operands, where the errors show them."""
    compared = [layer.tap for layer in evidence.verdict.layers]
    if evidence.mode.operands != TRUNCATED_TF32.operands or not compared:
        return
    layers = evidence.checkpoint.configuration.weighted_layers
    arithmetic = replace(evidence.assumed, modes={layers[0].name: TRUNCATED_TF32})
    if compared == [evidence.expectation.last]:
        yield Suggestion(arithmetic, LOGITS_ALONE, passes=False)
        return
    slopes = [slope for layer in layers if (slope := _slope(evidence, layer)) is not None]
    least, most = (each * -2 * TRUNCATED_TF32.truncation_bias for each in reversed(_SLOPES))
    shown = [least < slope < most for slope in slopes]
    if shown and np.mean(shown) >= _LAYERS:
        yield Suggestion(arithmetic, NOTE)


def _slope(evidence: Evidence, layer: WeightedLayer) -> float | None:
    """Of a layer's own errors over its outputs less the bias; None if the run does not have it."""
    errors = own_errors(evidence, layer)
    if errors is None:
        return None
    bias = evidence.checkpoint[f"{layer.name}.bias"]
    products = errors.exact - bias.reshape(1, -1, *[1] * (errors.exact.ndim - 2))
    seen = np.isfinite(errors.values)
    squares = float(np.square(products[seen]).sum())
    return float((errors.values[seen] * products[seen]).sum()) / squares if squares else 0.0
