"""The arbiter's logits of single images of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.measured import Measured, MeasuredRuntime
from vgg16_parity.evaluate.pixels import Room, prepared
from vgg16_parity.network.prediction import predict
from vgg16_parity.runtimes.lanes import LANES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import normalise

_PRECISIONS: Final = {"fp32": "float32", "fp16": "float16"}


@dataclass(frozen=True)
class DecodedImage:
    """An image, read again and prepared as it was for the runtimes.

    Attributes:
        index: its place among the images.
        name: the item's.
        pixels: (size, size, 3), RGB.
        values: the network's input, (1, 3, size, size).
    """

    index: int
    name: str
    pixels: NDArray[np.uint8]
    values: NDArray[np.float32]


class ArbiterLogits(NamedTuple):
    """The arbiter's logits of an image, (classes,), and by mode the deviation of their errors.

    A mode in which a value before them would overflow is absent.
    """

    logits: NDArray[np.float64]
    deviations: Mapping[str, NDArray[np.float32]]


def mode_of(entry: MeasuredRuntime) -> Mode | None:
    """The numeric mode by which a runtime's errors are predicted; None for quantised weights."""
    if entry.own_mode:
        return MODES[entry.own_mode]
    if entry.runtime.file:
        precision = entry.flags.get("precision", "fp32")
        return MODES[_PRECISIONS[precision]] if precision in _PRECISIONS else None
    return LANES[entry.lane].mode(entry.device)


def images_at(
    checkpoint: Checkpoint, measured: Measured, places: Iterable[int]
) -> list[DecodedImage]:
    """Read images again and prepare them as they were prepared for the runtimes."""
    recipe, size, room = checkpoint.recipe, checkpoint.configuration.input_size, Room()
    images = []
    for place in places:
        item = measured.items[place]
        pixels = prepared(item, recipe, size, room)
        assert not isinstance(pixels, Skipped)  # its bytes are those that were read before
        values = normalise(pixels[np.newaxis], recipe)
        images.append(DecodedImage(place, item.name, pixels, values))
    return images


def arbiter_logits(
    checkpoint: Checkpoint, images: Sequence[DecodedImage], modes: Iterable[Mode | None]
) -> dict[int, ArbiterLogits]:
    """Place -> what the arbiter makes of an image."""
    if not images:
        return {}
    needed = {mode.name: mode for mode in modes if mode is not None}
    batch = np.concatenate([image.values for image in images])
    reached = np.zeros(len(images))
    for tap in predict(checkpoint, batch, list(needed.values())):
        axes = tuple(range(1, tap.preactivation.ndim))
        reached = np.maximum(reached, np.abs(tap.preactivation).max(axis=axes))
    return {
        image.index: ArbiterLogits(
            tap.preactivation[row],
            {
                name: tap.accumulated[name][row]
                for name, mode in needed.items()
                if reached[row] <= mode.largest
            },
        )
        for row, image in enumerate(images)
    }
