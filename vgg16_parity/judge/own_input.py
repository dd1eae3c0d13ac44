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

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import FLOAT32_ROUNDOFF
from vgg16_parity.judge.known_inputs import levels
from vgg16_spec.images.preprocessing import Recipe


def input_deviation(images: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32] | None:
    """The standard deviation to assume of an input's error, of its shape, (N, 3, H, W).

    It is the root of the sum of the largest errors' squares: pixels of one level share their error,
    neighbours often have one level, and so their errors add up as a mean error's do. None if the
    recipe did not make these images of whole levels.
    """
    whole = levels(images, recipe)
    if whole is None:
        return None
    mean, std = (np.array(each)[:, np.newaxis, np.newaxis] for each in (recipe.mean, recipe.std))
    scaled = whole / recipe.scale
    exact = (scaled - mean) / std
    squares = (3 * scaled**2 + 2 * mean**2) / std**2 + 3 * exact**2
    deviation = np.hypot(FLOAT32_ROUNDOFF * np.sqrt(squares), images - exact)
    rounded: NDArray[np.float32] = deviation.astype(np.float32)
    return rounded
