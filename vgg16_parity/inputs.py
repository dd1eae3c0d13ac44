"""What goes into the network: pictures, and inputs that can hurt.

A case is a batch with a name. Errors that photographs hide show on others: a constant image makes
every sum coherent, one pixel alone leaves the biases standing, a checkerboard is all edges, large
and tiny numbers come near the ends of the number format. Their batches are of one, two and five.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import preprocess, read_image, recipe_named

Batch = NDArray[np.float32]

PICTURES: Final = "photographs"
_NOISE_SEED: Final = 16
# The most that a picture's values come to in either recipe, about: 255 less the mean.
_LARGEST_PIXEL: Final = 150.0
_LARGE: Final = 1e4
_DENORMAL: Final = 1e-40


@dataclass(frozen=True)
class Case:
    """A batch with a name.

    Attributes:
        name: what reports call it.
        images: the network's input, (N, 3, H, W).
        labels: what each image is called, one an image.
        extreme: whether it is made to go to the ends of the number format, so that it may go
            beyond.
    """

    name: str
    images: Batch
    labels: tuple[str, ...]
    extreme: bool = False

    @property
    def finite(self) -> bool:
        """Whether every value is; where one is not, only what becomes of it is compared."""
        return bool(np.isfinite(self.images).all())


def pictures(checkpoint: Checkpoint, files: Sequence[Path]) -> Case:
    """Picture files by the checkpoint's own recipe.

    Raises ``BadInput`` for a checkpoint without its classifier, no file, or one that cannot be
    read.
    """
    checkpoint.check_top()
    recipe = recipe_named(checkpoint.metadata.recipe, checkpoint.label)
    if not files:
        raise BadInput("images", "none given", "at least one picture")
    size = checkpoint.configuration.input_size
    prepared = [preprocess(read_image(path), recipe, size=size) for path in files]
    return Case(PICTURES, np.concatenate(prepared), tuple(path.name for path in files))


def hard(checkpoint: Checkpoint) -> tuple[Case, ...]:
    """The inputs that can hurt, for the checkpoint's network; the same at every call."""
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
