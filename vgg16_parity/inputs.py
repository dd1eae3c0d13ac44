"""The network's inputs: pictures, and stress inputs.

Errors that photographs hide show on other inputs: a constant image makes the terms of every sum
coherent, a single pixel leaves little but the biases, a checkerboard is all edges, and very large
and very small numbers approach the limits of the number format. Batches have one, two or five
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.expectations import Case
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import preprocess, read_image

PICTURES: Final = "photographs"
_NOISE_SEED: Final = 16
# About the largest value of a picture in any recipe: 255 minus the mean.
_LARGEST_PIXEL: Final = 150.0
_LARGE: Final = 1e4
_DENORMAL: Final = 1e-40


def pictures(checkpoint: Checkpoint, files: Sequence[Path]) -> Case:
    """Picture files, preprocessed by the checkpoint's recipe.

    Raises:
        BadInput: the checkpoint has no classifier, there is no file, or one cannot be read.
    """
    checkpoint.check_top()
    recipe = checkpoint.recipe
    if not files:
        raise BadInput("images", "none given", "at least one picture")
    size = checkpoint.configuration.input_size
    prepared = [preprocess(read_image(path), recipe, size=size) for path in files]
    return Case(PICTURES, np.concatenate(prepared), tuple(path.name for path in files))


def hard(checkpoint: Checkpoint) -> tuple[Case, ...]:
    """The stress inputs for the checkpoint's network; the same at every call."""
    shape = checkpoint.configuration.input_shape
    noise = np.random.Generator(np.random.Philox(_NOISE_SEED)).standard_normal((5, *shape))
    size = shape[-1]
    rows, columns = np.indices((size, size))
    fine = np.where((rows + columns) % 2, 1.0, -1.0)
    coarse = np.where((rows // 8 + columns // 8) % 2, 1.0, -1.0)
    middle, corner = np.zeros((2, *shape))
    middle[1, size // 2, size // 2] = corner[0, 0, 0] = _LARGEST_PIXEL
    ramp = np.linspace(-_LARGE, _LARGE, noise[0].size).reshape(shape)
    nan, infinite = np.array(noise[:2])
    nan[1, size // 2, size // 2], infinite[1, size // 2, size // 2] = np.nan, np.inf

    def case(name: str, **images: NDArray[np.float64]) -> Case:
        batch = np.stack([np.broadcast_to(image, shape) for image in images.values()])
        labels = tuple(label.replace("_", " ") for label in images)
        return Case(name, batch.astype(np.float32), labels, extreme=True)

    def constant(value: float) -> NDArray[np.float64]:
        return np.full(shape, value)

    return (
        case("noise", **{f"noise {index}": image for index, image in enumerate(noise)}),
        case(
            "constants",
            zero=constant(0),
            one=constant(1),
            minus_one=constant(-1),
            white=constant(_LARGEST_PIXEL),
            black=constant(-_LARGEST_PIXEL),
        ),
        case("one pixel", middle=middle, corner=corner),
        case("checkerboards", fine=fine, coarse=coarse),
        case("denormals", denormal=noise[0] * _DENORMAL),
        case("large", noise=noise[1] * _LARGE, ramp=ramp),
        case("NaN", one_NaN=nan),
        case("infinity", one_infinity=infinite),
    )
