"""The rounding errors of an input that a run prepared itself, from the same pixels by the recipe.

(x / scale - mean) / std is computed as written, with reciprocals, with scale and offset folded into
one product and one difference, or in float64 and rounded once. Let u be float32's unit roundoff and
q = x / scale. In any of these forms, at most three roundings have the size of q / std (the quotient
or product, and its constant's, where that is a product itself), two that of mean / std, and three
that of the result z, so that

    error²  ≤  about  u² · ((3 q² + 2 mean²) / std² + 3 z²)

The arbiter is given what was computed as written in float32, whose own error is known and added.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF
from vgg16_parity.judge.algorithms import find_algorithm
from vgg16_parity.judge.evidence import Evidence, Suggestion
from vgg16_parity.judge.known_inputs import levels
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import Recipe

OWN_INPUT: Final = "as with an input that it prepared itself, by other roundings of the pixels"
# R above which an error is of no input's rounding.
_LARGEST_OF_INPUTS: Final = 8.0


def find_own_input(evidence: Evidence) -> Iterator[Suggestion]:
    """The rounding of an input that a port prepared itself, alone and with algorithms besides."""
    # A runtime of the suite reads the arbiter's images. In fewer bits, their rounding is too small.
    layers, network = evidence.verdict.layers, evidence.checkpoint.configuration
    if not evidence.taps_optional or evidence.mode.name != "float32" or not layers:
        return
    # A port's own images show in the first layer, if it gave that: pixels near the mean are small
    # numbers with the error of large ones. What lies behind may have other errors besides.
    telling = layers[:1] if layers[0].tap == network.taps[0] else layers
    shown = [each for each in telling if not each.accumulated.passed]
    if not shown or any(not each.accumulated.ratio < _LARGEST_OF_INPUTS for each in shown):
        return
    with suppress(BadInput):  # a prepared batch needs no recipe
        deviation = input_deviation(evidence.expectation.case.images, evidence.checkpoint.recipe)
        if deviation is not None:
            own = Arithmetic(input_deviation=deviation)
            yield Suggestion(own, OWN_INPUT)
            assumed = replace(evidence, verdict=evidence.judge_as(own), assumed=own)
            for more in find_algorithm(assumed):
                yield more._replace(note=f"{more.note}; {OWN_INPUT}")


def input_deviation(images: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32] | None:
    """The standard deviation to assume of an input's error, of its shape, (N, 3, H, W).

    It is the root of the sum of the largest errors' squares: pixels of one level share their error,
    neighbours often have one level, and so their errors add up as a mean error's do. None if the
    recipe did not make these images of whole levels.
    """
    whole = levels(images, recipe)
    if whole is None:
        return None
    mean, std = recipe.mean_and_std()
    scaled = whole / recipe.scale
    exact = (scaled - mean) / std
    squares = (3 * scaled**2 + 2 * mean**2) / std**2 + 3 * exact**2
    deviation = np.hypot(FLOAT32_ROUNDOFF * np.sqrt(squares), images - exact)
    rounded: NDArray[np.float32] = deviation.astype(np.float32)
    return rounded
