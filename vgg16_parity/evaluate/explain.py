"""Why runtimes give different answers to an image: rounding, or a mistake, and in which layer.

The arbiter computes each disputed image in float64. The margin between its best class and a
runtime's answer is what the runtime's error must have bridged. Rounding explains the answer if the
margin is within the judge's limit, in predicted standard deviations of the two logits together;
that sum is an upper bound, since their errors may go the same way.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnx_arbiter.expectations import Case
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import MODES, Mode
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.measured import Measured, MeasuredRuntime
from vgg16_parity.evaluate.pixels import Room, prepared
from vgg16_parity.evaluate.records import Answer, Dispute
from vgg16_parity.evaluate.statistics import NO_ANSWER, Statistics
from vgg16_parity.network.prediction import predict
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.verdicts import CaseVerdict
from vgg16_parity.workspace import Progress, Workspace, in_file
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import counted
from vgg16_spec.files.scratch import scratch_folder
from vgg16_spec.images.preprocessing import normalise
from vgg16_spec.logits import top

MOST: Final = 100
# Of each runtime, how many wrong answers are followed layer by layer: a mistake that changes
# answers is in the same layer every time.
_FOLLOWED: Final = 8
# The arbiter's taps of one image of VGG16, in float64 with their deviations, take 0.3 GB.
_AT_ONCE: Final = 4
_THUMBNAIL: Final = (112, 112)
_PRECISIONS: Final = {"fp32": "float32", "fp16": "float16"}


@dataclass(frozen=True)
class _Image:
    """A disputed image that can still be read.

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


class _Truth(NamedTuple):
    """The arbiter's logits of an image, (classes,), and by mode the deviation of their errors.

    A mode in which a value before them would overflow is absent.
    """

    logits: NDArray[np.float64]
    deviations: Mapping[str, NDArray[np.float32]]


def explain(
    checkpoint: Checkpoint,
    measured: Measured,
    statistics: Statistics,
    *,
    most: int = MOST,
    timeout: float | None = None,
    progress: Progress = nullcontext,
) -> tuple[Dispute, ...]:
    """Every image that got different answers, the largest margin first.

    Args:
        checkpoint: the weights that were evaluated.
        measured: what every runtime computed of the recipe's centre crops.
        statistics: of these logits.
        most: how many images the arbiter judges, spread over the data set; a few seconds each.
        timeout: seconds that a runtime may take to compute its layers.
        progress: called with the name of each stage.

    Raises:
        BadInput: an image cannot be read any more.
    """
    runtimes = [each for each in measured.runtimes if each.status == "measured"]
    modes = {each.name: mode_of(each) for each in runtimes}
    chosen = set(_spread(statistics.disputed, most))
    disputes = dict[int, Dispute]()
    for group in _in_groups(statistics.disputed):
        images = _images(checkpoint, measured, group)
        asked = [image for image in images if image.index in chosen]
        stage = f"arbiter (NumPy, float64): {counted(len(asked), 'disputed image')}"
        with progress(stage) if asked else nullcontext():
            truths = _truths(checkpoint, asked, modes.values())
        for image in images:
            disputes[image.index] = _dispute(image, statistics, modes, truths.get(image.index))
    for entry in runtimes:
        if not entry.runtime.file:  # its taps have names that nobody knows
            _follow(checkpoint, measured, entry, disputes, timeout, progress)
    return by_margin(disputes.values())


def unexplained(measured: Measured, statistics: Statistics) -> tuple[Dispute, ...]:
    """The same without the arbiter, which takes no views of a picture."""
    names = [entry.name for entry in measured.runtimes if entry.status == "measured"]
    return tuple(
        Dispute(
            statistics.names[index],
            statistics.labels[index],
            (),
            tuple(Answer(name, _top5(statistics, name, index), "not judged") for name in names),
        )
        for index in statistics.disputed
    )


def by_margin(disputes: Iterable[Dispute]) -> tuple[Dispute, ...]:
    """Disputes with the largest margin first, in standard deviations."""
    return tuple(
        sorted(disputes, key=lambda found: max(a.deviations for a in found.answers), reverse=True)
    )


def mode_of(entry: MeasuredRuntime) -> Mode | None:
    """The numeric mode by which a runtime's errors are predicted; None for quantised weights."""
    if entry.own_mode:
        return MODES[entry.own_mode]
    if entry.runtime.file:
        precision = entry.flags.get("precision", "fp32")
        return MODES[_PRECISIONS[precision]] if precision in _PRECISIONS else None
    return LANES[entry.lane].mode(entry.device)


def _spread(places: Sequence[int], most: int) -> list[int]:
    """As many of the places, evenly spread."""
    if len(places) <= most:
        return list(places)
    return [places[number * len(places) // most] for number in range(most)]


def _in_groups(places: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(places), _AT_ONCE):
        yield places[start : start + _AT_ONCE]


def _images(checkpoint: Checkpoint, measured: Measured, places: Iterable[int]) -> list[_Image]:
    """Read images again and prepare them as they were prepared for the runtimes."""
    recipe, size, room = checkpoint.recipe, checkpoint.configuration.input_size, Room()
    images = []
    for place in places:
        item = measured.items[place]
        pixels = prepared(item, recipe, size, room)
        assert not isinstance(pixels, Skipped)  # its bytes are those that were read before
        values = normalise(pixels[np.newaxis], recipe)
        images.append(_Image(place, item.name, pixels, values))
    return images


def _truths(
    checkpoint: Checkpoint, images: Sequence[_Image], modes: Iterable[Mode | None]
) -> dict[int, _Truth]:
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
        image.index: _Truth(
            tap.preactivation[row],
            {
                name: tap.accumulated[name][row]
                for name, mode in needed.items()
                if reached[row] <= mode.largest
            },
        )
        for row, image in enumerate(images)
    }


def _dispute(
    image: _Image,
    statistics: Statistics,
    modes: Mapping[str, Mode | None],
    truth: _Truth | None,
) -> Dispute:
    answers = tuple(
        _answer(name, _top5(statistics, name, image.index), mode, truth)
        for name, mode in modes.items()
    )
    best = () if truth is None else tuple(top(truth.logits[np.newaxis], 5)[0].tolist())
    label = statistics.labels[image.index]
    return Dispute(image.name, label, best, answers, _thumbnail(image.pixels))


def _answer(runtime: str, top5: tuple[int, ...], mode: Mode | None, truth: _Truth | None) -> Answer:
    """What the arbiter says of a runtime's answer."""
    if truth is None:
        return Answer(runtime, top5, "not judged")
    if not top5:
        return Answer(runtime, top5, "mistake", math.inf)
    best = int(truth.logits.argmax())
    margin = float(truth.logits[best] - truth.logits[top5[0]])
    if not margin:
        return Answer(runtime, top5, "inside")
    if mode is None:
        return Answer(runtime, top5, "quantised", margin)
    if mode.name not in truth.deviations:
        return Answer(runtime, top5, "not judged", margin)
    deviation = truth.deviations[mode.name].astype(np.float64)
    sigma = float(deviation[best] + deviation[top5[0]])
    inside = margin <= LIMITS.deviations.limit * sigma
    return Answer(runtime, top5, "inside" if inside else "mistake", margin, sigma)


def _follow(
    checkpoint: Checkpoint,
    measured: Measured,
    entry: MeasuredRuntime,
    disputes: dict[int, Dispute],
    timeout: float | None,
    progress: Progress,
) -> None:
    """Find the layer where a runtime goes wrong, in the first images that it has wrong."""

    def is_wrong(answer: Answer) -> bool:
        return answer.runtime == entry.name and answer.cause == "mistake"

    wrong = [place for place, found in disputes.items() if any(map(is_wrong, found.answers))]
    for group in _in_groups(wrong[:_FOLLOWED]):
        images = _images(checkpoint, measured, group)
        layers = _first_wrong_layers(checkpoint, entry, images, timeout, progress)
        for image, layer in zip(images, layers, strict=True):
            found = disputes[image.index]
            answers = tuple(
                replace(answer, wrong_layer=layer) if is_wrong(answer) else answer
                for answer in found.answers
            )
            disputes[image.index] = replace(found, answers=answers)


def _first_wrong_layers(
    checkpoint: Checkpoint,
    entry: MeasuredRuntime,
    images: Sequence[_Image],
    timeout: float | None,
    progress: Progress,
) -> list[str]:
    """The first layer of each image that rounding does not explain; empty where there is none."""
    lane = LANES[entry.lane]
    mode = lane.mode(entry.device)
    assert mode is not None  # it was measured
    cases = [Case(f"image {place}", each.values, (each.name,)) for place, each in enumerate(images)]
    with scratch_folder("vgg16-evaluate") as folder:
        workspace = Workspace(in_file(checkpoint, folder, progress), folder, timeout, progress)
        expected = workspace.expect(cases, [mode], logits_only=False)
        [row] = workspace.rows(entry.runtime, lane, [entry.device], expected, "layers")
    verdicts = row.cases or (None,) * len(images)
    return ["" if verdict is None else _first_wrong(verdict) for verdict in verdicts]


def _first_wrong(verdict: CaseVerdict) -> str:
    for layer in verdict.layers:
        if not (layer.local or layer.accumulated).passed:
            return layer.tap
    return ""


def _top5(statistics: Statistics, runtime: str, index: int) -> tuple[int, ...]:
    found = statistics.answers[runtime].top5[index].tolist()
    return () if NO_ANSWER in found else tuple(found)


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail(_THUMBNAIL)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
