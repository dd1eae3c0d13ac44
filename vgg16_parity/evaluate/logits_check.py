"""Whether rounding explains a runtime's logits, whatever its answers."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from onnx_arbiter.compare import compare_with_arbiter
from vgg16_parity.evaluate.alone import can_run_alone, explains, judge_alone, rounds_unknown
from vgg16_parity.evaluate.arbiter import arbiter_logits, images_at, mode_of
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.evaluate.records import LogitsCheck
from vgg16_parity.workspace import Progress
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.views import Views


def check_logits(
    checkpoint: Checkpoint,
    measured: Measured,
    *,
    views: Views | None = None,
    timeout: float | None = None,
    progress: Progress = nullcontext,
) -> dict[str, LogitsCheck]:
    """Judge every runtime's logits of the first image and of one in the middle.

    A mistake may leave every answer as it was. Quantised weights, which the error model does not
    cover, are not judged, and no mode that overflows. What fails is computed again alone.
    """
    places = sorted({0, len(measured.items) // 2}) if measured.items else []
    modes = {e.name: mode_of(e) for e in measured.runtimes if e.status == "measured"}
    with progress("arbiter (NumPy, float64): logits"):
        images = images_at(checkpoint, measured, places)
        truths = arbiter_logits(checkpoint, images, modes.values(), views)
    found = dict[str, LogitsCheck]()
    for entry in measured.runtimes:
        mode = modes.get(entry.name)
        judged = [place for place in places if mode and mode.name in truths[place].deviations]
        if mode is None or not judged or rounds_unknown(entry, views):
            continue
        verdict = compare_with_arbiter(
            np.stack([entry.logits_of(place) for place in judged]),
            np.stack([truths[place].logits for place in judged]),
            np.stack([truths[place].deviations[mode.name] for place in judged]),
            independent=[truths[place].independent[mode.name] for place in judged].__getitem__,
        )
        passed = verdict.passed
        if not passed and views is None and can_run_alone(entry):
            alone = [image for image in images if image.index in judged]
            passed = all(
                explains(each, entry.logits_of(place), truths[place].logits)
                for each, place in zip(
                    judge_alone(checkpoint, entry, alone, timeout, progress), judged, strict=True
                )
            )
        figures = (verdict.ratio, verdict.deviations)
        found[entry.name] = LogitsCheck(passed, len(judged), *figures)
    return found
