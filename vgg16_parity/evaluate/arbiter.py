"""The arbiter's logits of single images of a data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.measured import Measured, MeasuredRuntime
from vgg16_parity.evaluate.pixels import Room, prepared, prepared_for_views
from vgg16_parity.network.dense import expect_dense_logits
from vgg16_parity.network.prediction import predict, through_log_softmax
from vgg16_parity.runtimes.lanes import LANES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.preprocessing import normalise
from vgg16_spec.images.views import Views, averaged_log_posteriors, logits_of_views
from vgg16_spec.logits import softmax

_PRECISIONS: Final = {"fp32": "float32", "fp16": "float16"}


@dataclass(frozen=True)
class DecodedImage:
    """An image, read again and prepared as it was for the runtimes.

    Attributes:
        index: its place among the images.
        item: where it is.
        pixels: (size, size, 3), RGB: the centre crop.
        values: the network's input, (1, 3, size, size), made of that.
    """

    index: int
    item: Item
    pixels: NDArray[np.uint8]
    values: NDArray[np.float32]


class ArbiterLogits(NamedTuple):
    """What the arbiter makes of an image.

    Attributes:
        logits: (classes,); of views, the logarithms of the averaged posteriors.
        deviations: mode -> of the errors to expect of them. A mode in which a value before them
            would overflow is absent.
        independent: mode -> the smallest number of independent errors in any layer before them.
    """

    logits: NDArray[np.float64]
    deviations: Mapping[str, NDArray[np.floating[Any]]]
    independent: Mapping[str, float]


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
        images.append(DecodedImage(place, item, pixels, values))
    return images


def arbiter_logits(
    checkpoint: Checkpoint,
    images: Sequence[DecodedImage],
    modes: Iterable[Mode | None],
    views: Views | None = None,
) -> dict[int, ArbiterLogits]:
    """Place -> what the arbiter makes of an image, or of its views.

    Raises ``BadInput`` where an image cannot be read any more.
    """
    needed = {mode.name: mode for mode in modes if mode is not None}
    if views is not None:
        return {image.index: _of_views(checkpoint, image, needed, views) for image in images}
    if not images:
        return {}
    batch = np.concatenate([image.values for image in images])
    reached = np.zeros(len(images))
    before = dict.fromkeys(needed, (math.inf,) * len(images))
    for tap in predict(checkpoint, batch, list(needed.values())):
        axes = tuple(range(1, tap.preactivation.ndim))
        reached = np.maximum(reached, np.abs(tap.preactivation).max(axis=axes))
        if tap.tap != checkpoint.configuration.taps[-1]:
            found = tap.independent()
            before = {name: tuple(map(min, before[name], found[name])) for name in needed}
    return {
        image.index: ArbiterLogits(
            tap.preactivation[row],
            {
                name: tap.accumulated[name][row]
                for name, mode in needed.items()
                if reached[row] <= mode.largest
            },
            {name: counts[row] for name, counts in before.items()},
        )
        for row, image in enumerate(images)
    }


def _of_views(
    checkpoint: Checkpoint, image: DecodedImage, modes: Mapping[str, Mode], views: Views
) -> ArbiterLogits:
    """The averaged log-posteriors.

    An error of log p_v in view v weighs p_v / Σ p. The views' errors may go the same way, so their
    deviations are added.
    """
    recipe = checkpoint.recipe
    wholes = prepared_for_views(image.item, recipe, views, Room())
    assert not isinstance(wholes, Skipped)  # it was computed
    deviations = dict[str, NDArray[np.floating[Any]]]()
    independent = dict[str, float]()
    averaged = np.empty(0)
    # Without a mode, the logits are still wanted.
    for name, mode in (modes or {"": MODES["float32"]}).items():
        found = list[NDArray[np.float32]]()
        fewest = [math.inf]

        def compute(
            pixels: NDArray[np.uint8],
            mode: Mode = mode,
            found: list[NDArray[np.float32]] = found,
            fewest: list[float] = fewest,
        ) -> NDArray[np.float64]:
            given = normalise(pixels, recipe)
            logits, deviation, counts = expect_dense_logits(checkpoint, given, mode)
            found.append(deviation)
            fewest.extend(counts)
            return logits

        logits = logits_of_views(wholes, views, compute)
        posteriors = softmax(logits)
        each = through_log_softmax(logits, np.concatenate(found), posteriors, mode)
        averaged = averaged_log_posteriors(logits)
        single = np.stack([averaged_log_posteriors(row[np.newaxis]) for row in logits])
        shares = np.exp(single - averaged) / len(logits)
        if name:
            deviations[name], independent[name] = (shares * each).sum(axis=0), min(fewest)
    return ArbiterLogits(averaged, deviations, independent)
