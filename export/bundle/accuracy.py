"""The accuracy of a graph in fewer bits: a record beside it, measured on the file as written."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.bundle.deployment import example, write_json
from export.constants import LOGITS, MODEL_FILE
from export.graph import naming
from export.graph.taps import with_taps
from export.options import Options
from export.session import open_session
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.photographs import PHOTOGRAPHS

RECORD: Final = "accuracy.json"
_TAPS_FILE: Final = "taps.onnx"
# Runs of each, in turns; the medians are compared.
_REPEATS: Final = 7

Taps = dict[str, NDArray[np.float64]]


def write(
    folder: Path, model: ir.Model, reference: ir.Model, checkpoint: Checkpoint, options: Options
) -> None:
    """Compare a bundle's graph with its float32 twin on the project's photographs.

    Writes ``accuracy.json``:

    - ``sqnr_db``: each layer's signal-to-quantisation-noise ratio over the photographs, in
      decibels, 20 log10(rms(float32) / rms(difference)); null where nothing differs. The last is
      measured on the graph itself, the others on one that outputs every layer, which makes ONNX
      Runtime round values that it otherwise keeps in more bits;
    - ``images``: for each photograph the largest error of a logit, the float32 graph's margin
      between its first and second logit, and whether the first class and the first five agree. A
      class can change only where twice the error exceeds the margin;
    - ``bytes``: of the float32 weights and of these;
    - ``speed_up``: how many times faster a batch is on this machine, the median of alternating
      runs. No other figure of a bundle differs from run to run.

    ``reference`` is the same network with the checkpoint's own weights and the same ends.

    Raises:
        BadInput: where the graph's activations overflow.
    """
    names = [str(value.name) for value in naming.taps(reference)]
    tapped = open_session(ir.to_proto(with_taps(reference, names)).SerializeToString())
    fewer = _open_beside_weights(folder, with_taps(model, names))
    itself = open_session(folder / MODEL_FILE)
    inputs = [example(checkpoint, options, photograph) for photograph in PHOTOGRAPHS]
    exact = [_run(tapped, images, names) for images in inputs]
    rounded = [_run(fewer, images, names) for images in inputs]
    ends, last = [output.name for output in itself.get_outputs()], names[-1]
    for taps, images in zip(rounded, inputs, strict=True):
        taps[last] = _run(itself, images, ends).get(last, taps[last])
    tensors = [value.const_value for value in model.graph.initializers.values()]
    twin = open_session(ir.to_proto(reference).SerializeToString())
    record: dict[str, Any] = {
        "precision": options.precision,
        "against": "fp32",
        "sqnr_db": {name: _sqnr(name, exact, rounded) for name in names},
        "bytes": {
            "fp32": sum(4 * checkpoint[name].size for name in checkpoint),
            options.precision: sum(tensor.nbytes for tensor in tensors if tensor is not None),
        },
        "speed_up": _speed_up(twin, itself, inputs[0]),
    }
    if checkpoint.configuration.include_top:
        record["images"] = [
            {"image": photograph.path.name, **_decision(right[LOGITS][0], found[LOGITS][0])}
            for photograph, right, found in zip(PHOTOGRAPHS, exact, rounded, strict=True)
        ]
    write_json(folder / RECORD, record)


def _open_beside_weights(folder: Path, model: ir.Model) -> Any:
    path = folder / _TAPS_FILE
    path.write_bytes(ir.to_proto(model).SerializeToString())
    try:
        return open_session(path)
    finally:
        path.unlink()


def _run(session: Any, images: NDArray[Any], names: Sequence[str]) -> Taps:
    (feed,) = session.get_inputs()
    outputs = session.run(None, {feed.name: images})
    return {
        name: np.asarray(values, np.float64) for name, values in zip(names, outputs, strict=True)
    }


def _sqnr(name: str, exact: list[Taps], rounded: list[Taps]) -> float | None:
    pairs = [(ours[name], theirs[name]) for ours, theirs in zip(exact, rounded, strict=True)]
    signal = sum(float(np.square(right).sum()) for right, _ in pairs)
    noise = sum(float(np.square(right - found).sum()) for right, found in pairs)
    if not math.isfinite(noise):
        problem = f"overflows in {name}: its activations are beyond the format's range"
        raise BadInput("--precision fp16", problem, "--precision fp32")
    return round(10 * math.log10(signal / noise), 2) if noise and signal else None


def _decision(right: NDArray[np.float64], found: NDArray[np.float64]) -> dict[str, Any]:
    order, other = np.argsort(-right, kind="stable"), np.argsort(-found, kind="stable")
    return {
        "largest_error": round(float(np.abs(right - found).max()), 6),
        "margin": round(float(right[order[0]] - right[order[1]]), 6),
        "top1_agrees": bool(order[0] == other[0]),
        "top5_agrees": set(order[:5].tolist()) == set(other[:5].tolist()),
    }


def _speed_up(slower: Any, faster: Any, images: NDArray[Any]) -> float:
    """The median time of one session over that of the other."""
    seconds: dict[Any, list[float]] = {slower: [], faster: []}
    for _ in range(1 + _REPEATS):
        for session, spent in seconds.items():
            (feed,) = session.get_inputs()
            start = time.perf_counter()
            session.run(None, {feed.name: images})
            spent.append(time.perf_counter() - start)
    # The first run of each still allocates.
    return round(median(seconds[slower][1:]) / median(seconds[faster][1:]), 2)
