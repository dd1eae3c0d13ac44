"""Why runtimes give different answers to an image: rounding, or a mistake, and in which layer.

The arbiter computes each disputed image in float64. The margin between its best class and a
runtime's answer is what the runtime's error must have bridged. Rounding explains the answer if the
margin is within the judge's limit, in predicted standard deviations of the two logits together;
that sum is an upper bound, since their errors may go the same way. The prediction is that of direct
sums: an answer beyond it is a mistake only if `alone`, which knows other algorithms, agrees.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity.evaluate.alone import (
    can_run_alone,
    explains,
    first_wrong,
    judge_alone,
    rounds_unknown,
)
from vgg16_parity.evaluate.arbiter import (
    ArbiterLogits,
    DecodedImage,
    arbiter_logits,
    images_at,
    mode_of,
)
from vgg16_parity.evaluate.measured import Measured, MeasuredRuntime
from vgg16_parity.evaluate.records import Answer, Cause, Dispute
from vgg16_parity.evaluate.statistics import NO_ANSWER, Statistics
from vgg16_parity.workspace import Progress
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import counted
from vgg16_spec.images.views import Views
from vgg16_spec.logits import top

MOST: Final = 100
# Of each runtime, how many wrong answers are followed layer by layer: a mistake that changes
# answers is in the same layer every time.
_FOLLOWED: Final = 8
# The arbiter's taps of one image of VGG16, in float64 with their deviations, take 0.3 GB.
_AT_ONCE: Final = 4
_THUMBNAIL: Final = (112, 112)


def explain(
    checkpoint: Checkpoint,
    measured: Measured,
    statistics: Statistics,
    *,
    most: int = MOST,
    views: Views | None = None,
    timeout: float | None = None,
    progress: Progress = nullcontext,
) -> tuple[Dispute, ...]:
    """Every image that got different answers, the largest margin first.

    Args:
        checkpoint: the weights that were evaluated.
        measured: what every runtime computed.
        statistics: of these logits.
        most: how many images the arbiter judges, spread over the data set; a few seconds each, and
            as many times as long with views as these have more pixels.
        views: what of each picture was computed; None for the recipe's centre crop.
        timeout: seconds that a runtime may take to compute its layers.
        progress: called with the name of each stage.

    Raises:
        BadInput: an image cannot be read any more.
    """
    runtimes = [each for each in measured.runtimes if each.status == "measured"]
    modes = {each.name: mode_of(each) for each in runtimes}
    unknown = {each.name for each in runtimes if rounds_unknown(each, views)}
    chosen = set(_spread(statistics.disputed, most))
    disputes, truths = dict[int, Dispute](), dict[int, ArbiterLogits]()
    for group in _in_groups(statistics.disputed):
        images = images_at(checkpoint, measured, group)
        asked = [image for image in images if image.index in chosen]
        stage = f"arbiter (NumPy, float64): {counted(len(asked), 'disputed image')}"
        with progress(stage) if asked else nullcontext():
            truths |= arbiter_logits(checkpoint, asked, modes.values(), views)
        for image in images:
            found = _dispute(image, statistics, modes, truths.get(image.index))
            disputes[image.index] = _without_mistakes(found, unknown)
    for entry in runtimes:
        if views is None and can_run_alone(entry):
            _follow(checkpoint, measured, entry, disputes, truths, timeout, progress)
    return by_margin(disputes.values())


def by_margin(disputes: Iterable[Dispute]) -> tuple[Dispute, ...]:
    """Disputes with the largest margin first, in standard deviations."""
    return tuple(
        sorted(disputes, key=lambda found: max(a.deviations for a in found.answers), reverse=True)
    )


def _spread(places: Sequence[int], most: int) -> list[int]:
    """As many of the places, evenly spread."""
    if len(places) <= most:
        return list(places)
    return [places[number * len(places) // most] for number in range(most)]


def _in_groups(places: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(places), _AT_ONCE):
        yield places[start : start + _AT_ONCE]


def _dispute(
    image: DecodedImage,
    statistics: Statistics,
    modes: Mapping[str, Mode | None],
    truth: ArbiterLogits | None,
) -> Dispute:
    answers = tuple(
        _answer(name, _top5(statistics, name, image.index), mode, truth)
        for name, mode in modes.items()
    )
    best = () if truth is None else tuple(top(truth.logits[np.newaxis], 5)[0].tolist())
    label = statistics.labels[image.index]
    return Dispute(image.item.name, label, best, answers, _thumbnail(image.pixels))


def _answer(
    runtime: str, top5: tuple[int, ...], mode: Mode | None, truth: ArbiterLogits | None
) -> Answer:
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


def _without_mistakes(dispute: Dispute, runtimes: Set[str]) -> Dispute:
    """Leave open what may be no mistake of some runtimes."""
    answers = tuple(
        replace(answer, cause="not judged")
        if answer.cause == "mistake" and answer.runtime in runtimes
        else answer
        for answer in dispute.answers
    )
    return replace(dispute, answers=answers)


def _follow(
    checkpoint: Checkpoint,
    measured: Measured,
    entry: MeasuredRuntime,
    disputes: dict[int, Dispute],
    truths: Mapping[int, ArbiterLogits],
    timeout: float | None,
    progress: Progress,
) -> None:
    """Find the layer where a runtime goes wrong, or that nothing is wrong with it.

    Its answers are computed again alone, until so many are known to be mistakes.
    """

    def is_wrong(answer: Answer) -> bool:
        return answer.runtime == entry.name and answer.cause == "mistake"

    wrong = [place for place, found in disputes.items() if any(map(is_wrong, found.answers))]
    known = 0
    for group in _in_groups(wrong):
        if known >= _FOLLOWED:
            return
        images = images_at(checkpoint, measured, group)
        verdicts = judge_alone(checkpoint, entry, images, timeout, progress)
        for place, verdict in zip(group, verdicts, strict=True):
            explained = explains(verdict, entry.logits_of(place), truths[place].logits)
            known += not explained
            cause: Cause = "inside" if explained else "mistake"
            layer = "" if explained else first_wrong(verdict)
            answers = tuple(
                replace(answer, cause=cause, wrong_layer=layer) if is_wrong(answer) else answer
                for answer in disputes[place].answers
            )
            disputes[place] = replace(disputes[place], answers=answers)


def _top5(statistics: Statistics, runtime: str, index: int) -> tuple[int, ...]:
    found = statistics.answers[runtime].top5[index].tolist()
    return () if NO_ANSWER in found else tuple(found)


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail(_THUMBNAIL)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
