"""Runtimes computed again on single images, layer by layer, and judged as by ``vgg16 parity``.

That judge knows how convolutions by Winograd's algorithm or an FFT round, which a prediction of
direct sums does not: what it allows is no mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnx_arbiter.expectations import Case
from vgg16_parity.evaluate.arbiter import DecodedImage
from vgg16_parity.evaluate.measured import MeasuredRuntime
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.verdicts import CaseVerdict
from vgg16_parity.workspace import Progress, Workspace, in_file
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.files.scratch import scratch_folder
from vgg16_spec.images.views import Views

# How much larger the error of an image in a batch may be than of the same image alone: whatever is
# wrong only in batches is not excused.
_ALIKE: Final = 2.0


def can_run_alone(entry: MeasuredRuntime) -> bool:
    """Whether the layers of what was measured can be computed: a file's have unknown names."""
    return not entry.runtime.file


def rounds_unknown(entry: MeasuredRuntime, views: Views | None) -> bool:
    """Whether convolutions may be no direct sums, and no layer of views shows what they are."""
    return views is not None and (bool(entry.runtime.engine_used) or entry.device == "cuda")


def judge_alone(
    checkpoint: Checkpoint,
    entry: MeasuredRuntime,
    images: Sequence[DecodedImage],
    timeout: float | None,
    progress: Progress,
) -> list[CaseVerdict | None]:
    """The verdict on each image; None where the runtime does not run any more."""
    lane = LANES[entry.lane]
    mode = lane.mode(entry.device)
    assert mode is not None  # it was measured
    cases = [
        Case(f"image {number}", image.values, (image.item.name,))
        for number, image in enumerate(images)
    ]
    with scratch_folder("vgg16-evaluate") as folder:
        workspace = Workspace(in_file(checkpoint, folder, progress), folder, timeout, progress)
        expected = workspace.expect(cases, [mode], logits_only=False)
        [row] = workspace.rows(entry.runtime, lane, [entry.device], expected, "layers")
    return list(row.cases) or [None] * len(images)


def explains(
    verdict: CaseVerdict | None, logits: NDArray[Any], arbiter: NDArray[np.float64]
) -> bool:
    """Whether what a runtime computes of an image alone holds, and explains its logits, (classes,).

    ``arbiter`` is what they should be.
    """
    if verdict is None or not verdict.holds:
        return False
    alone = verdict.layers[-1].accumulated.max_error
    return bool(np.abs(logits - arbiter).max() <= _ALIKE * alone)


def first_wrong(verdict: CaseVerdict | None) -> str:
    """The first layer that rounding does not explain; empty where there is none."""
    for layer in verdict.layers if verdict else ():
        if not (layer.local or layer.accumulated).passed:
            return layer.tap
    return ""
